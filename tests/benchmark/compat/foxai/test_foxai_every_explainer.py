"""What holds for every explainer."""

from functools import wraps

import numpy as np
import pytest
import torch
from captum import attr as captum
from foxai_network import EVERY, INPUTS, TARGET, model, named, state
from rrrbench.benchmark.compat.foxai import SaliencyCVExplainer
from torch import nn


@EVERY
@pytest.mark.parametrize("images", [1, 3])
def test_every_explainer_explains(explainer, images):
    found = named(explainer).calculate_features(model(), INPUTS[:images], 0)
    of_inputs = "LAYER" not in explainer.name or "GRADCAM" in explainer.name
    assert found.shape[0] == images
    assert found.shape[2:] == (INPUTS.shape[2:] if of_inputs else (4, 2))
    assert found.abs().max() > 0
    assert found.isfinite().all()
    assert not found.requires_grad


@EVERY
def test_everything_is_left_as_it_was(explainer):
    network, inputs = model(), INPUTS.clone()
    before = state(network, inputs)
    named(explainer).calculate_features(network, inputs, TARGET)
    assert state(network, inputs) == before


@EVERY
def test_everything_is_left_as_it_was_after_an_exception(explainer):
    class Fails(nn.Module):
        def forward(self, inputs):
            torch.rand(1)
            raise RuntimeError("out of memory, say")

    network, inputs = model().append(Fails()), INPUTS.clone()
    if "LRP" in explainer.name:
        network[-1].rule = captum._utils.lrp_rules.IdentityRule()
    before = state(network, inputs)
    with pytest.raises(RuntimeError, match="out of memory"):
        named(explainer).calculate_features(network, inputs, TARGET)
    assert state(network, inputs) == before


@EVERY
def test_inputs_may_be_part_of_a_graph(explainer):
    leaf = INPUTS.clone().requires_grad_()
    found = named(explainer).calculate_features(model(), leaf * 1.0, TARGET)
    torch.testing.assert_close(found, named(explainer).calculate_features(model(), INPUTS, TARGET))
    assert leaf.grad is None


@EVERY
def test_is_deterministic(explainer):
    network = model()
    first = named(explainer).calculate_features(network, INPUTS, TARGET)
    torch.manual_seed(9)
    np.random.seed(9)  # noqa: NPY002
    assert torch.equal(named(explainer).calculate_features(network, INPUTS, TARGET), first)


@EVERY
def test_an_unknown_option_is_refused(explainer):
    with pytest.raises(TypeError, match="has no 'stride_value'"):
        named(explainer).calculate_features(model(), INPUTS, 0, stride_value=2)


@EVERY
def test_an_empty_attribution_is_a_runtime_error(explainer, monkeypatch):
    made = named(explainer).create_explainer(model())
    empty = wraps(type(made).attribute)(lambda *_, **__: torch.empty(0))
    monkeypatch.setattr(type(made), "attribute", empty)
    with pytest.raises(RuntimeError, match=r"attribution is empty, of shape \(0,\)"):
        named(explainer).calculate_features(model(), INPUTS, 0)


@EVERY
def test_no_images_are_a_runtime_error(explainer):
    with pytest.raises(RuntimeError, match="empty"):
        named(explainer).calculate_features(model(), INPUTS[:0], 0)


@pytest.mark.usefixtures("shapes_unchecked")
def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"input_data is torch\.uint8"):
        SaliencyCVExplainer().calculate_features(model(), torch.zeros(1, 1, 8, 6, dtype=torch.uint8), 0)


@EVERY
def test_a_target_for_each_input_is_not_the_first_one_s(explainer):
    explain = named(explainer).calculate_features
    together = explain(model(), INPUTS, TARGET)
    alone = torch.cat([explain(model(), INPUTS[[n]], TARGET[n].item()) for n in (1, 2)])
    if "SHAP" in explainer.name or "NOISE" in explainer.name:
        assert together.shape[1:] == alone.shape[1:]  # they draw for a batch
    else:
        torch.testing.assert_close(together[1:], alone, rtol=1e-5, atol=1e-7)
