"""Closed form on a linear network z = W x + b."""

from __future__ import annotations

import torch
from rrrbench.methods.explainers.base import explainers
from torch import nn

INPUTS = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()


def attribute(name, network, inputs=INPUTS, target=TARGET):
    return explainers.resolve(name).attribute(network, inputs, target)


def test_gradient_of_sum_log_p_by_hand():
    """d/dx sum_k (z_k - logsumexp z) = sum_k w_k - K sum_k p_k w_k, whatever the target."""
    network = linear()
    weight, p = network.weight.detach(), network(INPUTS).detach().softmax(1)
    torch.testing.assert_close(attribute("input_gradient", network), weight.sum(0) - 3 * p @ weight)
    torch.testing.assert_close(
        attribute("input_gradient", network, target=TARGET.flip(0)), attribute("input_gradient", network)
    )
