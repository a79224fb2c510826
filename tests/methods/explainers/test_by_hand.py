"""Attributions of tiny networks, worked out by hand; what each explainer's docstring promises."""

from __future__ import annotations

import pytest
import torch
from rrrbench.datasets import make
from rrrbench.methods.explainers.base import explainers
from torch import nn

INPUTS = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
IMAGES = torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


@pytest.mark.parametrize("name", ["gradient_times_input", "gradient_shap", "occlusion"])
def test_of_a_linear_network_is_weight_times_input(name):
    network = linear()
    attributions = resolve(name).attribute(network, INPUTS, TARGET)
    torch.testing.assert_close(attributions, network.weight.detach()[TARGET] * INPUTS, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gradient_shap", "occlusion"])
def test_of_a_linear_network_is_weight_times_difference(name):
    network, baselines = linear(), INPUTS.flip(0)
    attributions = resolve(name).attribute(network, INPUTS, TARGET, baselines)
    difference = network.weight.detach()[TARGET] * (INPUTS - baselines)
    torch.testing.assert_close(attributions, difference, rtol=1e-5, atol=1e-6)


def two_maps():
    """Feature maps x and -x; class t's logit is the sum of v_t0 x and v_t1 (-x): dz/dx = v_t0 - v_t1 everywhere."""
    values = torch.tensor([[3.0, 1.0], [1.0, 4.0], [0.5, 0.25]], dtype=torch.float64)
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(24, 3, bias=False)).double()
    network[0].weight.data = torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    network[2].weight.data = values.repeat_interleave(12, 1)
    return network, (values[:, 0] - values[:, 1])[TARGET].reshape(6, 1, 1, 1)


def test_gradcam_is_the_positive_part_of_the_weighted_maps():
    network, slope = two_maps()
    attributions = resolve("gradcam").attribute(network, IMAGES, TARGET)
    torch.testing.assert_close(attributions, (slope * IMAGES).clamp(min=0))
    assert (attributions[TARGET == 1] == 0).all()


def test_guided_gradcam_is_gradcam_times_the_gradient_where_there_is_no_relu():
    network, slope = two_maps()
    with pytest.warns(UserWarning, match="guided_gradcam: the network has no ReLU"):
        attributions = resolve("guided_gradcam").attribute(network, IMAGES, TARGET)
    torch.testing.assert_close(attributions, (slope * IMAGES).clamp(min=0) * slope)


def test_layer_integrated_gradients_of_a_linear_head():
    network, slope = two_maps()
    attributions = resolve("layer_integrated_gradients").attribute(network, IMAGES, TARGET, IMAGES.flip(0))
    torch.testing.assert_close(attributions, slope * (IMAGES - IMAGES.flip(0)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["integrated_gradients", "gradient_shap", "deeplift"])
def test_against_its_twin_an_input_differs_in_the_mask_alone(name):
    dataset = make("decoy", 0, base="digits")
    batch, twins = dataset.test("random").batch(slice(0, 8)), dataset.test("clean").batch(slice(0, 8))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    target = network(batch.inputs).argmax(1)
    attributions = resolve(name).attribute(network, batch.inputs, target, twins.inputs)
    assert (attributions[~batch.masks.expand_as(attributions)] == 0).all()
    with torch.no_grad():
        effect = (network(batch.inputs) - network(twins.inputs)).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(attributions.sum((1, 2, 3)), effect, rtol=1e-3, atol=1e-4)
