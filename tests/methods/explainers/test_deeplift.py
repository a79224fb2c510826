from __future__ import annotations

import pytest
import torch
from rrrbench.methods.explainers.base import explainers
from torch import nn

IMAGES = torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


def test_deeplift_of_a_relu():
    """z = ReLU(x0 + x1 - 1) at (2, 1): the ReLU gained 2 of 3, so the multiplier is 2/3 and not 1."""
    network = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1, bias=False))
    network[0].weight.data, network[0].bias.data = torch.ones(1, 2), torch.tensor([-1.0])
    network[2].weight.data = torch.ones(1, 1)
    attributions = resolve("deeplift").attribute(network, torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    torch.testing.assert_close(attributions, torch.tensor([[4 / 3, 2 / 3]]))


@pytest.mark.parametrize("order", ["pool first", "ReLU first", "in place"])
def test_deeplift_is_complete_where_nonlinear_layers_are_neighbours(order):
    """As in lenet. Captum 0.9 alone misses by the second one's rule (its issue 1104)."""
    torch.manual_seed(0)
    pair = [nn.MaxPool2d(2), nn.ReLU(inplace=order == "in place")]
    pair = pair[::-1] if order == "ReLU first" else pair
    network = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), *pair, nn.Flatten(), nn.Linear(12, 3)).double()
    attributions = resolve("deeplift").attribute(network, IMAGES, TARGET, IMAGES.flip(0))
    with torch.no_grad():
        gained = (network(IMAGES) - network(IMAGES.flip(0))).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(attributions.sum((1, 2, 3)), gained)
    assert not network[1 if order != "ReLU first" else 2].__dict__.keys() & {"input", "output"}


def test_deeplift_is_complete_where_windows_overlap():
    """As in ResNet's first pooling: one input may be the maximum of several windows, of which captum keeps one."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3, padding=1), nn.MaxPool2d(2, stride=1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)]
    network = nn.Sequential(*layers).double()
    attributions = resolve("deeplift").attribute(network, IMAGES, TARGET, IMAGES.flip(0))
    with torch.no_grad():
        gained = (network(IMAGES) - network(IMAGES.flip(0))).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(attributions.sum((1, 2, 3)), gained)


def test_deeplift_of_an_input_does_not_depend_on_the_first_one():
    """A max-pool whose input is the baseline's passes the input's own gradient (captum's issue 1276)."""
    torch.manual_seed(0)
    edges = nn.Conv2d(1, 1, (1, 2), bias=False)
    edges.weight.data = torch.tensor([[[[1.0, -1.0]]]])  # 0 on a flat image, as on the baseline
    network = nn.Sequential(edges, nn.MaxPool2d((1, 2)), nn.Flatten(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    flat, rough = torch.full((1, 1, 4, 3), 0.5), torch.rand(1, 1, 4, 3)
    alone = resolve("deeplift").attribute(network, flat, torch.tensor([0]))
    behind = resolve("deeplift").attribute(network, torch.cat([rough, flat]), torch.tensor([1, 0]))[1:]
    assert alone.abs().max() > 0
    torch.testing.assert_close(behind, alone)
