"""Grad-CAM as a term of the loss: the parts that hint and rrr_gradcam share."""

from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.networks import networks
from rrrbench.datasets.base import Batch
from rrrbench.methods.base import mitigations
from rrrbench.methods.gradcam import EPSILON, enlarged, gradcam, split_at_last_maps
from rrrbench.methods.mitigations.hint import HINT
from rrrbench.methods.mitigations.rrr_gradcam import RRRGradCAM
from rrrbench.methods.network import BoundLayer, Net
from small import SmallConvolutional, bound, small_dataset, small_net_and_batch
from torch import Tensor, nn
from torch.func import grad

STRENGTH = torch.tensor(0.7, dtype=torch.float64)


@pytest.fixture
def net():
    """Two maps, x and -2 x + 1; logit k is a weighted sum of their pixels."""
    module = nn.Module()
    module.features = nn.Sequential(nn.Conv2d(1, 2, 1).double(), nn.Flatten())
    module.features[0].weight.data = torch.tensor([1.0, -2.0], dtype=torch.float64).view(2, 1, 1, 1)
    module.features[0].bias.data = torch.tensor([0.0, 1.0], dtype=torch.float64)
    module.head = nn.Linear(8, 2, bias=False).double()
    module.head.weight.data = torch.arange(16, dtype=torch.float64).view(2, 8) / 10
    return bound(module)


INPUTS = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64).view(1, 1, 2, 2)


def test_the_map_by_hand(net):
    cam, logits = gradcam(net, INPUTS, lambda z: z[:, 0])
    # the weights of class 0: mean(0, .1, .2, .3) = .15 for x and .55 for 1 - 2 x, so L = .55 - .95 x
    torch.testing.assert_close(cam, torch.tensor([[[1.0, 0.75], [0.5, 0.0]]], dtype=torch.float64))
    torch.testing.assert_close(logits, net(INPUTS))


def test_a_flat_map_is_zero_and_not_nan(net):
    cam, _ = gradcam(net, torch.full_like(INPUTS, 0.3), lambda z: z[:, 0])
    assert (cam.abs() < EPSILON).all()


@pytest.mark.parametrize("name", ["rrr_gradcam", "hint"])
def test_with_constant_weights_the_term_trains_the_maps_and_not_what_reads_them(net, name):
    masks = torch.tensor([[True, True], [False, False]]).view(1, 1, 2, 2)
    batch = Batch(INPUTS, torch.tensor([0]), masks, torch.tensor([0]))

    def term(parameters: dict[str, Tensor], constant: bool) -> Tensor:
        mitigation = mitigations.resolve({"name": name, "constant_weights": constant})
        return mitigation.terms(Net(net.module, parameters), batch, STRENGTH).right_reason

    constant, differentiated = (grad(term)(net.parameters, which) for which in (True, False))
    assert term(net.parameters, True) == term(net.parameters, False)
    assert constant["features.0.weight"].abs().sum() > 0
    assert constant["head.weight"].abs().sum() == 0
    assert differentiated["head.weight"].abs().sum() > 0


def test_enlarging_repeats_the_nearest_pixel():
    cam = torch.arange(4.0).view(1, 2, 2)
    assert enlarged(cam, torch.Size((3, 4))).tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3]]]


@pytest.mark.parametrize("name", ["lenet", "resnet18", SmallConvolutional])
def test_the_last_maps_come_before_flattening_and_global_pooling(name):
    if name is SmallConvolutional:
        layers, head = SmallConvolutional().layers((1, 6, 6), 3)
    else:
        layers, head = networks[name]().layers((3, 32, 32), 3)
    module = nn.Module()
    module.features, module.head = nn.Sequential(layers), head
    below, above = split_at_last_maps(bound(module))

    def names(side: list[BoundLayer]) -> list[str]:
        return [key for layer in side for key, value in {**layers, "head": head}.items() if value is layer.module]

    last, first = {
        "lenet": ("relu1", "flatten"),
        "resnet18": ("layer4", "pool"),
    }.get(name, ("relu0", "flatten"))
    assert (names(below)[-1], names(above)[0]) == (last, first)
    assert names(below) + names(above) == [*layers, "head"]


@pytest.mark.parametrize("mitigation", [RRRGradCAM(), HINT()], ids=lambda m: m.id)
def test_a_dense_network_is_refused_with_the_way_out(mitigation):
    net, batch = small_net_and_batch("mlp")
    with pytest.raises(ValueError, match=r"needs a convolution's feature maps.*use lenet or resnet18, or a mitigation"):
        mitigation.terms(net, batch, STRENGTH)


def test_the_small_network_of_the_laws_is_fit_for_the_dataset():
    assert SmallConvolutional().build(small_dataset(), 0)(small_dataset().train.batch().inputs).shape == (24, 3)
