"""The evaluation of an explainer, on a classifier that needs no training."""

# ruff: noqa: NPY002 (explainers of strangers draw from NumPy's global generator)

import math
import random

import numpy as np
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


@pytest.mark.parametrize(
    "convert", [lambda z: z.double(), lambda z: z.numpy(), lambda z: z.double().numpy(), lambda z: z.half()]
)
def test_explanations_in_another_type_are_converted(bold, convert):
    class Other(CounterfactualExplainer):
        name = "other"

        def explain(self, question):
            return convert(question.latents[:, None] + 0.5)

    class Plain(CounterfactualExplainer):
        name = "plain"

        def explain(self, question):
            return question.latents[:, None] + 0.5

    for found, expected in zip(evaluate(Other(), bold), evaluate(Plain(), bold), strict=True):
        assert (found == expected).double().mean() > 0.95  # half precision rounds


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda z: None, "vague gave a NoneType, expected a tensor of latents"),
        (lambda z: [z], "vague gave a list"),
        (lambda z: z[:, None] > 0, "vague gave a Tensor of torch.bool"),
        (lambda z: z[:, None] + 1j, "vague gave a Tensor of torch.complex64"),
        (lambda z: z[:, None].numpy().astype(object), "vague gave a ndarray of object"),
        (lambda z: z[:, None].numpy().astype(str), "vague gave a ndarray of <U"),
        (lambda z: z[:, None][:, :0], "vague gave no explanation of an input"),
        (lambda z: z[:-1, None], r"shape \(11, 1, 11\), expected \(12, n, 11\)"),
        (lambda z: z[:, None, :5], r"shape \(12, 1, 5\)"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_answers_that_are_no_explanations_are_refused_by_the_explainer_s_name(bold, given, message):
    class Vague(CounterfactualExplainer):
        name = "vague"

        def explain(self, question):
            return given(question.latents)

    with pytest.raises(ValueError, match=message):
        evaluate(Vague(), bold)


def test_draws_of_every_global_generator_come_from_the_seed_and_go_on_as_before(bold):
    class Mixed(CounterfactualExplainer):
        name = "mixed"

        def explain(self, question):
            moved = np.random.normal(size=question.latents.shape) + random.random()
            return question.latents[:, None] + torch.randn(1) + torch.from_numpy(moved)[:, None]

    np.random.seed(7)
    before = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()
    first, again, other = (
        evaluate(Mixed(), bold, seed=1),
        evaluate(Mixed(), bold, seed=1),
        evaluate(Mixed(), bold, seed=2),
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    assert (np.random.get_state()[1] == before[0]).all()
    assert random.getstate() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


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
