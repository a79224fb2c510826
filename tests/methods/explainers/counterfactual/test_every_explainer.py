"""What holds for every counterfactual explainer, on a linear classifier of six latents."""

import pytest
import torch
from rrrbench.datasets.registry import BadParameters, UnknownName
from rrrbench.methods.explainers.counterfactual.base import counterfactuals
from toy import Classifier, Z, batch, explained, space

EVERY = pytest.mark.parametrize("name", counterfactuals.names())


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
    with pytest.raises(BadParameters, match=f"{name!r}: num_explanations = 0: .* greater than 0"):
        counterfactuals.resolve({"name": name, "num_explanations": 0})


@EVERY
def test_has_an_id_a_docstring_and_no_state(name):
    """Equal parameters are an equal explainer, whatever it has explained: nothing is kept in it."""
    one, other = (counterfactuals.resolve({"name": name, "num_explanations": 3}) for _ in range(2))
    explained(one)
    assert one == other
    assert vars(one) == vars(other)
    assert one.id == f"{name}[num_explanations=3]"
    assert type(one).__doc__


def test_the_nearest_name_is_told():
    with pytest.raises(UnknownName, match="no counterfactual explainer is called 'stylexx'; did you mean stylex"):
        counterfactuals.resolve("stylexx")
