"""DeepLIFT's sum property, where modules are reused and windows overlap."""

import warnings

import pytest
import torch
from captum import attr as captum
from foxai_network import INPUTS, TARGET
from rrrbench.benchmark.compat.foxai import (
    DeepLIFTCVExplainer,
    DeepLIFTSHAPCVExplainer,
    LayerDeepLIFTCVExplainer,
    LayerDeepLIFTSHAPCVExplainer,
)
from torch import nn
from torchvision.models import resnet18

BOTH = pytest.mark.parametrize("explainer", [DeepLIFTCVExplainer(), DeepLIFTSHAPCVExplainer()])


def gained(network, inputs, baselines, target):
    with torch.no_grad():
        return (network(inputs) - network(baselines)).gather(1, target[:, None])[:, 0]


@BOTH
def test_a_residual_network_s_attributions_sum_to_the_difference_of_its_logits(explainer):
    """Each block applies its ReLU twice; the pooling's windows overlap; sums are in place."""
    torch.manual_seed(0)
    network = resnet18(num_classes=3).double().eval()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = explainer.calculate_features(network, images, TARGET[:2])
    torch.testing.assert_close(found.sum((1, 2, 3)), gained(network, images, images * 0, TARGET[:2]))


@pytest.mark.parametrize("explainer", [LayerDeepLIFTCVExplainer(), LayerDeepLIFTSHAPCVExplainer()])
def test_a_residual_network_s_layers_sum_too(explainer):
    torch.manual_seed(0)
    network = resnet18(num_classes=3).double().eval()
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    found = explainer.calculate_features(network, images, TARGET[:2], layer="layer1")
    torch.testing.assert_close(found.sum((1, 2, 3)), gained(network, images, images * 0, TARGET[:2]))


@BOTH
def test_a_relu_under_two_names_is_two_relus(explainer):
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(48, 9), nn.ReLU(), nn.Linear(9, 9), nn.ReLU(), nn.Linear(9, 3)]
    apart = nn.Sequential(*layers).double()
    layers[4] = layers[2]
    reused = nn.Sequential(*layers).double()
    found = explainer.calculate_features(reused, INPUTS, TARGET)
    torch.testing.assert_close(found, explainer.calculate_features(apart, INPUTS, TARGET))
    assert reused[2] is reused[4]


def pooled(**pooling):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(**pooling), nn.Flatten(), nn.LazyLinear(3)]
    network = nn.Sequential(*layers).double()
    network(INPUTS)
    return network


@pytest.mark.filterwarnings("ignore:Setting forward, backward hooks")
def test_pooling_agrees_with_captum_where_windows_do_not_overlap():
    network = pooled(kernel_size=2).eval()
    del network[1]  # captum itself is wrong about a ReLU before a pooling, its issue 1104
    wanted = captum.DeepLift(network).attribute(INPUTS.clone().requires_grad_(), INPUTS.flip(0), TARGET)
    found = DeepLIFTCVExplainer().calculate_features(network, INPUTS, TARGET, baselines=INPUTS.flip(0))
    torch.testing.assert_close(found, wanted.detach())


@pytest.mark.parametrize(
    "pooling",
    [
        {"kernel_size": 3, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 1},
        {"kernel_size": 2, "dilation": 2, "stride": 1},
        {"kernel_size": 3, "stride": 2, "ceil_mode": True},
    ],
    ids=str,
)
def test_overlapping_windows_sum_to_the_difference(pooling):
    network = pooled(**pooling)
    found = DeepLIFTCVExplainer().calculate_features(network, INPUTS, TARGET, baselines=INPUTS.flip(0))
    torch.testing.assert_close(found.sum((1, 2, 3)), gained(network, INPUTS, INPUTS.flip(0), TARGET))


def test_an_image_does_not_depend_on_the_batch_where_it_equals_its_baseline():
    """Black regions on a black baseline, as MNIST has them."""
    black = INPUTS.clone()
    black[:, :, :4] = 0
    together = DeepLIFTCVExplainer().calculate_features(pooled(kernel_size=2), black, TARGET)
    for index in range(3):
        alone = DeepLIFTCVExplainer().calculate_features(
            pooled(kernel_size=2), black[index : index + 1], int(TARGET[index])
        )
        torch.testing.assert_close(together[index : index + 1], alone)


def test_a_module_that_is_applied_more_often_in_another_pass_is_named():
    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.passes = nn.ReLU(), 0

        def forward(self, inputs):
            self.passes += 1
            for _ in range(1 + self.passes):
                inputs = self.relu(inputs)
            return inputs.flatten(1)

    with pytest.raises(RuntimeError, match="'relu' is applied 2 times in one pass and more often in another"):
        DeepLIFTCVExplainer().calculate_features(Restless(), INPUTS, TARGET)


@pytest.mark.parametrize("explainer", [LayerDeepLIFTCVExplainer(), LayerDeepLIFTSHAPCVExplainer()], ids=["", "shap"])
def test_a_layers_explainer_warns_of_a_relu_that_is_no_module(explainer):
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(64, 2)

        def forward(self, images):
            return self.head(self.second(self.first(images).relu()).relu().flatten(1))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, images = Functional().eval(), torch.rand(1, 1, 8, 8)
    with pytest.warns(UserWarning, match="on the inputs: attributions do not sum"):
        explainer.calculate_features(
            network, images, 0, layer="first", baselines=torch.zeros(2, 1, 8, 8)[: 2 if explainer.distribution else 1]
        )
