"""bex's constructors and `explain_batch`, on images whose latents are their pixels."""

import inspect

import pytest
import torch
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.compat.bex.explainers import ExplainerBase, explainer_class, ported
from rrrbench.datasets.registry import BadParameters, UnknownName
from rrrbench.methods.explainers.counterfactual.base import LatentSpace, counterfactuals

DEFAULTS = {
    "dice": {"num_explanations": 10, "lr": 0.1, "num_iters": 50, "proximity_weight": 1, "diversity_weight": 1},
    "dive": {"num_explanations": 10, "lr": 0.1, "num_iters": 50, "diversity_weight": 0.001, "lasso_weight": 0.1,
             "reconstruction_weight": 0.0001, "method": "fisher_spectral"},
    "dummy": {"num_explanations": 10},
    "gs": {"num_explanations": 10, "n_candidates": 50, "first_radius": 10, "decrease_radius": 2},
    "is": {"num_explanations": 10},
    "lcf": {"num_explanations": 10, "lr": 0.1, "num_iters": 50, "p": 0.1, "tolerance": 0.5},
    "stylex": {"num_explanations": 10, "t": 0.3, "shift_size": 0.8, "strategy": "independent"},
    "xgem": {"num_explanations": 10, "lr": 0.1, "num_iters": 50, "reconstruction_weight": 0.001},
}  # fmt: skip
Z = 4


def decoder(latents):
    return latents[:, None, None]


def classifier(images):
    odds = images.flatten(1).sum(1)
    return torch.stack([torch.zeros_like(odds), odds], 1)


def batch(n=3):
    return torch.randn(n, Z, generator=torch.Generator().manual_seed(0))


def space():
    return LatentSpace(batch(50), slice(0, 1), torch.tensor([[[-9.0]], [[9.0]]]))


def explain(explainer, classifier=classifier):
    latents = batch()
    return explainer.explain_batch(latents, classifier(decoder(latents)), decoder(latents), classifier, decoder)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_documented_arguments_in_their_order_with_their_defaults(name):
    parameters = inspect.signature(ported(name)).parameters
    assert {key: parameter.default for key, parameter in parameters.items()} == DEFAULTS[name]
    assert list(parameters) == list(DEFAULTS[name])


def test_every_registered_explainer_has_a_constructor():
    assert set(counterfactuals.names()) == set(DEFAULTS)


def test_arguments_by_position_by_name_and_as_attributes():
    made = bex.Dive(4, 0.2, method="random")
    assert (made.num_explanations, made.lr, made.method, made.lasso_weight) == (4, 0.2, "random", 0.1)
    assert made.explainer == counterfactuals.resolve(
        {"name": "dive", "num_explanations": 4, "lr": 0.2, "method": "random"}
    )
    with pytest.raises(AttributeError, match="Dive has no attribute 'step'"):
        made.step  # noqa: B018


def test_arguments_that_are_wrong_are_refused():
    with pytest.raises(BadParameters, match="lr = 0"):
        bex.Dice(lr=0)
    with pytest.raises(BadParameters, match="'step' is not a parameter"):
        bex.Dice(step=1)
    with pytest.raises(TypeError, match="too many positional arguments"):
        bex.InformedSearch(1, 2)
    with pytest.raises(TypeError, match="Dice got num_explanations twice"):
        bex.Dice(1, num_explanations=2)


@pytest.mark.parametrize("name", DEFAULTS)
def test_explain_batch_gives_explanations_after_bind(name):
    made = ported(name)(num_explanations=2).bind(space(), 1)
    found = explain(made)
    assert found.shape == (3, 2, Z)
    assert torch.equal(found, explain(ported(name)(num_explanations=2).bind(space(), 1))), "the seed decides"
    assert not torch.equal(explain(made), found) or name in ("is", "stylex"), "draws go on from batch to batch"


def test_what_an_explainer_prepares_is_prepared_once_for_a_classifier(monkeypatch):
    made, calls = bex.Stylex(2).bind(space(), 0), []
    prepare = type(made.explainer).prepare
    monkeypatch.setattr(type(made.explainer), "prepare", lambda *given: calls.append(given) or prepare(*given))
    for one in (classifier, classifier, lambda images: -classifier(images)):
        explain(made, one)
    assert len(calls) == 2


def test_names_are_known_by_bex_s_spelling_and_the_nearest_is_told():
    assert explainer_class("IS") is bex.InformedSearch
    with pytest.raises(UnknownName, match="did you mean"):
        explainer_class("stylexx")


def test_what_is_not_bound_says_how():
    with pytest.raises(RuntimeError, match="bind"):
        explain(bex.Dice())


def test_a_subclass_that_overrides_nothing_is_told_what_to_override():
    class Lazy(ExplainerBase):
        pass

    with pytest.raises(NotImplementedError, match="Lazy is to override explain_batch"):
        explain(Lazy())
