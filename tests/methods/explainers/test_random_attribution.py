from __future__ import annotations

import torch
from rrrbench.methods.explainers.base import explainers
from torch import nn

INPUTS = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


def test_a_random_attribution_is_its_seed_s_alone():
    network, other = linear(), linear()
    other.weight.data *= -1
    one = resolve("random_attribution").attribute(network, INPUTS, TARGET)
    torch.manual_seed(5)
    assert torch.equal(resolve("random_attribution").attribute(other, INPUTS, TARGET), one)
    assert not torch.equal(resolve("random_attribution", seed=1).attribute(network, INPUTS, TARGET), one)
