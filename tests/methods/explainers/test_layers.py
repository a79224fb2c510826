from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.compat.foxai import (
    DeconvolutionCVExplainer,
    DeepLIFTCVExplainer,
    DeepLIFTSHAPCVExplainer,
    GuidedBackpropCVExplainer,
)
from rrrbench.methods.explainers.base import explainers
from torch import Tensor, nn
from torch.nn import functional as F

IMAGES = torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


def test_maps_are_enlarged_to_the_inputs_and_shared_by_their_channels():
    network = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 3 * 2, 3))
    inputs = torch.rand(2, 3, 7, 5)
    for name in ("gradcam", "layer_integrated_gradients"):
        attributions = resolve(name).attribute(network, inputs, torch.tensor([0, 1]))
        assert attributions.shape == inputs.shape
        assert torch.equal(attributions[:, 0], attributions[:, 2])


class Crossed(nn.Module):
    """Applies its layers in another order than it defines them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.applied_last = nn.Conv2d(1, 2, 1)
        self.applied_first = nn.Conv2d(1, 1, 3, padding=1)
        self.head = nn.Linear(24, 3)

    def forward(self, inputs):
        return self.head(self.applied_last(self.applied_first(inputs).relu()).flatten(1))


@pytest.mark.filterwarnings("ignore:guided_gradcam.*1 of 1 ReLUs are functions")
@pytest.mark.parametrize("name", ["gradcam", "guided_gradcam", "layer_integrated_gradients"])
def test_the_layer_is_the_convolution_applied_last_or_the_one_that_is_named(name):
    network = Crossed().double()
    last = resolve(name).attribute(network, IMAGES, TARGET)
    torch.testing.assert_close(resolve(name, layer="applied_last").attribute(network, IMAGES, TARGET), last)
    first = resolve(name, layer="applied_first").attribute(network, IMAGES, TARGET)
    assert not torch.allclose(first, last)
    with pytest.raises(ValueError, match="'aplied_first'; did you mean applied_first"):
        resolve(name, layer="aplied_first").attribute(network, IMAGES, TARGET)


@pytest.mark.parametrize("name", ["gradcam", "layer_integrated_gradients"])
@pytest.mark.usefixtures("shapes_unchecked")
def test_a_layer_without_maps_is_refused(name):
    with pytest.raises(ValueError, match=r"output of \(6, \d\) does not lie over"):
        resolve(name, layer="head").attribute(Crossed().double(), IMAGES, TARGET)


class Rectified(nn.Module):
    """A convolution, a nonlinearity, a dense layer."""

    def __init__(self, nonlinearity) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.nonlinearity, self.head = nn.Conv2d(1, 4, 3), nonlinearity, nn.Linear(64, 3)

    def forward(self, inputs):
        return self.head(self.nonlinearity(self.conv(inputs)).flatten(1))


CLASSES = torch.tensor([0, 1, 2])
INPUTS = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
FUNCTIONS = {"F.relu": F.relu, "torch.relu": torch.relu, "Tensor.relu": Tensor.relu}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize(
    ("explain", "message"),
    [
        (lambda net: resolve("deeplift").attribute(net, INPUTS, CLASSES), "deeplift: attributions do not sum"),
        (lambda net: resolve("guided_gradcam").attribute(net, INPUTS, CLASSES), "1 of 1 ReLUs are functions"),
        (lambda net: DeepLIFTCVExplainer().calculate_features(net, INPUTS, CLASSES), "DeepLIFTCV.* do not sum"),
        (lambda net: DeepLIFTSHAPCVExplainer().calculate_features(net, INPUTS, CLASSES), "DeepLIFTSHAP.* do not sum"),
        (
            lambda net: GuidedBackpropCVExplainer().calculate_features(net, INPUTS, CLASSES),
            "GuidedBackprop.*1 of 1 ReLUs",
        ),
        (
            lambda net: DeconvolutionCVExplainer().calculate_features(net, INPUTS, CLASSES),
            "Deconvolution.*1 of 1 ReLUs",
        ),
    ],
)
def test_a_relu_that_captum_does_not_see_is_said(explain, message, function):
    with pytest.warns(UserWarning, match=message):
        explain(Rectified(function))
    explain(Rectified(nn.ReLU()))  # and any warning would be an error


@pytest.mark.parametrize("nonlinearity", [nn.GELU(), nn.SiLU(), nn.Hardswish(), torch.sin, lambda z: z.clamp(min=0)])
def test_deeplift_says_where_its_sum_is_another(nonlinearity):
    with pytest.warns(UserWarning, match="do not sum to the difference of the logits"):
        resolve("deeplift").attribute(Rectified(nonlinearity), INPUTS, CLASSES)


@pytest.mark.parametrize("nonlinearity", [nn.ELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus()])
def test_deeplift_is_complete_where_captum_has_a_rule(nonlinearity):
    resolve("deeplift").attribute(Rectified(nonlinearity), INPUTS, CLASSES)
