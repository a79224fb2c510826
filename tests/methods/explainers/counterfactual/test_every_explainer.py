"""What holds for every counterfactual explainer, on a linear classifier of six latents."""

import inspect

import pytest
import torch
from rrrbench.datasets.registry import UnknownName
from rrrbench.methods.explainers.counterfactual import COUNTERFACTUALS, ExplainerBase, explainer_class
from toy import Classifier, Decoder, Z, batch, explained, space

EVERY = pytest.mark.parametrize("name", COUNTERFACTUALS)
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


@EVERY
def test_the_documented_arguments_in_their_order_with_their_defaults(name):
    parameters = inspect.signature(COUNTERFACTUALS[name]).parameters
    assert {key: parameter.default for key, parameter in parameters.items()} == DEFAULTS[name]
    assert list(parameters) == list(DEFAULTS[name])


@EVERY
@pytest.mark.parametrize("n", [1, 5])
def test_gives_the_explanations_that_were_asked_for_whatever_the_batch(name, n):
    """bex's DiVE failed on odd batches."""
    for explanations in (1, 3, 8):
        found, _ = explained(name, batch(n), num_explanations=explanations)
        assert found.shape == (n, explanations, Z)
        assert found.isfinite().all()


@EVERY
def test_an_input_s_explanations_do_not_depend_on_the_others_in_its_batch(name):
    """bex averaged DiCE's determinant, and DiVE's masks went by position."""
    one, other = batch(4), batch(4, seed=9)
    other[0] = one[0]
    torch.testing.assert_close(explained(name, one)[0][0], explained(name, other)[0][0], rtol=1e-4, atol=1e-5)


@EVERY
def test_a_seed_decides_its_draws_and_nothing_else_is_touched(name):
    latents, classifier, torch_state = batch(), Classifier(), torch.get_rng_state()
    before = latents.clone()
    first, _ = explained(name, latents, classifier, seed=1)
    second, _ = explained(name, latents, classifier, seed=1)
    assert torch.equal(first, second)
    assert torch.equal(latents, before)
    assert classifier.weight.grad is None
    assert not first.requires_grad
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert not torch.backends.cudnn.deterministic  # importing bex's Stylex sets it


@EVERY
def test_flips_a_linear_classifier(name):
    """Where only one latent may move, most of them do not matter."""
    flips = explained(name, batch(40))[1].double().mean().item()
    assert flips < 0.5 if name == "dummy" else flips > (0.3 if name in ("stylex", "dive") else 0.9)


@EVERY
def test_keeps_the_dtype(name):
    classifier, latents, known = Classifier().double(), batch().double(), space()
    known = type(known)(known.latents.double(), known.shortcut, known.class_shortcuts.double())
    assert explained(name, latents, classifier, known)[0].dtype == torch.float64


@EVERY
def test_a_count_of_none_is_refused(name):
    with pytest.raises(ValueError, match="num_explanations is 0"):
        COUNTERFACTUALS[name](num_explanations=0)


def test_names_are_known_by_bex_s_spelling_and_the_nearest_is_told():
    assert explainer_class("IS") is COUNTERFACTUALS["is"]
    with pytest.raises(UnknownName, match="did you mean"):
        explainer_class("stylexx")


def test_what_is_not_bound_says_how():
    latents, classifier, decoder = batch(), Classifier(), Decoder()
    with pytest.raises(RuntimeError, match="bind"):
        COUNTERFACTUALS["dice"]().explain_batch(
            latents, classifier(decoder(latents)), decoder(latents), classifier, decoder
        )


def test_a_subclass_that_overrides_nothing_is_told_what_to_override():
    class Lazy(ExplainerBase):
        pass

    with pytest.raises(NotImplementedError, match="Lazy is to override explain_batch"):
        explained(Lazy())
