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
RECTIFIERS = {
    "Tensor.relu_": lambda h: h.clone().relu_(),
    "Tensor.clamp": lambda h: h.clamp(min=0),
    "Tensor.clamp_": lambda h: h.clone().clamp_(min=0),
    "clamp from 0 to 6": lambda h: h.clamp(0, 6),
    "clamp from 0 to a quarter": lambda h: h.clamp(0, 0.25),
    "torch.maximum": lambda h: torch.maximum(h, torch.zeros_like(h)),
    "torch.maximum of a number": lambda h: torch.maximum(h, torch.tensor(0.0)),
    "torch.where": lambda h: torch.where(h > 0, h, 0.0),
    "masked_fill": lambda h: h.masked_fill(h < 0, 0),
    "times a truth value": lambda h: h * (h > 0),
    "F.threshold": lambda h: F.threshold(h, 0, 0),
    "F.hardtanh": lambda h: F.hardtanh(h, 0, 6),
    "F.relu6": F.relu6,
    "F.leaky_relu without a slope": lambda h: F.leaky_relu(h, 0),
    "nn.ReLU6": nn.ReLU6(),
}
GUIDED = {
    "guided_gradcam": lambda net: resolve("guided_gradcam").attribute(net, INPUTS, CLASSES),
    "guided_backprop": lambda net: GuidedBackpropCVExplainer().calculate_features(net, INPUTS, CLASSES),
    "deconvolution": lambda net: DeconvolutionCVExplainer().calculate_features(net, INPUTS, CLASSES),
}


@pytest.mark.parametrize("function", RECTIFIERS.values(), ids=RECTIFIERS)
@pytest.mark.parametrize("explain", GUIDED.values(), ids=GUIDED)
def test_a_relu_of_any_writing_is_said(explain, function):
    with pytest.warns(UserWarning, match="1 of 2 ReLUs are functions or other layers"):
        explain(Rectified(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1), Called(function))))


@pytest.mark.parametrize("function", [F.hardtanh, F.elu, F.leaky_relu, torch.abs, F.gelu, lambda h: F.dropout(h, 0.5)])
@pytest.mark.parametrize("explain", GUIDED.values(), ids=GUIDED)
def test_another_nonlinearity_is_no_relu(explain, function):
    explain(Rectified(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 1), Called(function))))  # any warning is an error


class Called(nn.Module):
    """A function as a layer."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs):
        return self.function(inputs)


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


@pytest.mark.parametrize("nonlinearity", [nn.GELU(), nn.ELU(), torch.tanh])
@pytest.mark.parametrize(
    "explain",
    [
        lambda net: resolve("guided_gradcam").attribute(net, INPUTS, CLASSES),
        lambda net: GuidedBackpropCVExplainer().calculate_features(net, INPUTS, CLASSES),
        lambda net: DeconvolutionCVExplainer().calculate_features(net, INPUTS, CLASSES),
    ],
)
def test_a_network_without_any_relu_is_said(explain, nonlinearity):
    with pytest.warns(UserWarning, match="no ReLU whose gradient could be replaced"):
        explain(Rectified(nonlinearity))


@pytest.mark.parametrize("nonlinearity", [nn.GELU(), nn.SiLU(), nn.Hardswish(), torch.sin, lambda z: z.clamp(min=0)])
def test_deeplift_says_where_its_sum_is_another(nonlinearity):
    with pytest.warns(UserWarning, match="do not sum to the difference of the logits"):
        resolve("deeplift").attribute(Rectified(nonlinearity), INPUTS, CLASSES)


@pytest.mark.parametrize("nonlinearity", [nn.ELU(), nn.LeakyReLU(), nn.Sigmoid(), nn.Tanh(), nn.Softplus()])
def test_deeplift_is_complete_where_captum_has_a_rule(nonlinearity):
    resolve("deeplift").attribute(Rectified(nonlinearity), INPUTS, CLASSES)
