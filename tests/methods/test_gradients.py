from __future__ import annotations

import pytest
import torch
from rrrbench.methods.gradients import (
    input_gradient,
    input_gradient_at,
    predicted_log_odds,
    reversed_gradient,
)
from rrrbench.methods.network import Net
from small import small_net_and_batch
from torch import Tensor, nn
from torch.nn import functional as F


def test_log_odds_point_the_way_of_the_probability():
    net, batch = small_net_and_batch()
    odds, logits = input_gradient(net, batch.inputs, predicted_log_odds)
    probability, _ = input_gradient(net, batch.inputs, lambda z: F.softmax(z, -1).amax(-1))
    p = F.softmax(logits, -1).amax(-1)[:, None, None, None]
    torch.testing.assert_close(odds * p * (1 - p), probability)


KINDS = [{}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"groups": 2}, {"bias": False}]


def double_layer(**kind) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(4, 6, 3, **kind).double()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(2, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_gradient_at_some_positions_is_the_gradient_there(inputs, kind):
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.Sequential(double_layer(**kind), nn.Tanh(), nn.Flatten())
            self.head = nn.LazyLinear(3, dtype=torch.float64)

    module = Small()
    module.head(module.features(inputs))
    net = Net(module, {name: p.detach() for name, p in module.named_parameters()})
    positions = torch.tensor([0, 5, 35, 36, 80, 143])
    at, logits = input_gradient_at(net, inputs, lambda logits: logits.square().sum(-1), positions)
    whole, expected = input_gradient(net, inputs, lambda logits: logits.square().sum(-1))
    torch.testing.assert_close(at, whole.flatten(1)[:, positions])
    torch.testing.assert_close(logits, expected)


def test_a_reversed_gradient_is_the_value_with_minus_its_gradient():
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reversed_gradient(x), x)
    step = 1e-6
    rise = (reversed_gradient(x + step).sin() - reversed_gradient(x - step).sin()) / (2 * step)
    (gradient,) = torch.autograd.grad(reversed_gradient(x).sin().sum(), x)
    torch.testing.assert_close(gradient, -rise.detach(), rtol=1e-8, atol=1e-9)
    mapped = torch.func.vmap(torch.func.grad(lambda v: reversed_gradient(v).sin()))(x.detach())
    torch.testing.assert_close(mapped, gradient)
