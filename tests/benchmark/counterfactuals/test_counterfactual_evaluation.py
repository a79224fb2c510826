"""The evaluation of an explainer, on a classifier that needs no training."""

import math

import pytest
import torch
from letters import Ink, bold_glyphs
from rrrbench.benchmark.counterfactuals.evaluation import evaluate, what_changed
from rrrbench.benchmark.counterfactuals.subject import subject
from rrrbench.datasets.glyphs import FONTS
from rrrbench.methods.explainers.counterfactual.base import CounterfactualExplainer
from rrrbench.methods.explainers.counterfactual.dummy import Dummy
from rrrbench.methods.explainers.counterfactual.informed_search import InformedSearch


@pytest.fixture(scope="module")
def bold():
    return subject(bold_glyphs(), Ink(), 60)


def test_the_oracle_hits_where_the_classifier_uses_the_shortcut(bold):
    assert 0.3 < bold.used.double().mean() < 1
    verdicts = evaluate(InformedSearch(), bold)
    assert verdicts.hit[bold.used].double().mean() > 0.9
    assert verdicts.hit[~bold.used].double().mean() < 0.1
    dummy = evaluate(Dummy(), bold)
    assert dummy.hit[bold.used].double().mean() < 0.3


def test_the_size_of_batches_does_not_matter_to_an_explainer_that_draws_nothing(bold):
    one, other = (evaluate(InformedSearch(), bold, batch_size) for batch_size in (7, 60))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_explanations_of_a_wrong_shape_or_not_finite_are_refused(bold):
    class Flat(CounterfactualExplainer):
        name = "flat"

        def explain(self, question):
            return question.latents

    class Nan(CounterfactualExplainer):
        name = "nan"

        def explain(self, question):
            return question.latents[:, None] * math.nan

    with pytest.raises(ValueError, match=r"flat gave explanations of shape \(12, 11\), expected \(12, n, 11\)"):
        evaluate(Flat(), bold)
    with pytest.raises(ValueError, match="nan gave explanations that are not finite"):
        evaluate(Nan(), bold)


def test_an_explainer_may_write_into_what_it_is_given(bold):
    class Vandal(CounterfactualExplainer):
        name = "vandal"

        def explain(self, question):
            found = question.latents[:, None] + 0.1
            for tensor in (question.latents, question.logits, question.images):
                tensor.zero_()
            return found

    before = bold.letters.latents.clone()
    evaluate(Vandal(), bold)
    assert torch.equal(bold.letters.latents, before)


def test_an_explainer_prepares_once_and_draws_go_on_from_batch_to_batch(bold):
    prepared, drawn = [], []

    class Draws(CounterfactualExplainer):
        name = "draws"

        def prepare(self, explained):
            prepared.append(explained)
            return 7

        def explain(self, question):
            assert question.prepared == 7
            drawn.append(question.normal(1))
            return question.latents[:, None]

    evaluate(Draws(), bold, batch_size=30, seed=4)
    (explained,) = prepared
    assert explained.classifier is bold.classifier
    rng = torch.Generator().manual_seed(4)
    expected = [torch.randn(30, 1, 11, generator=rng, dtype=torch.float64) for _ in range(2)]
    torch.testing.assert_close(torch.cat(drawn), torch.cat(expected).float())


def test_what_changed_is_said_in_words(bold):
    latents = bold.letters.latents[:1].clone()
    renderer = bold.glyphs.renderer
    changed = latents[:, None].repeat(1, 3, 1)
    own = int(renderer.nearest(latents)[1])
    other = (own + 1) % 22
    changed[0, 1, 3:6] = renderer.font_latents[other]
    changed[0, 2, 8] += 0.4
    assert what_changed(latents, changed, renderer)[0] == [[], [FONTS[other]], ["x +0.4"]]
