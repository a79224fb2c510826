from __future__ import annotations

import pytest
import torch
from linear_network import BATCH, INPUTS, LABELS, NET, STRENGTH, WEIGHT, gradient_at
from rrrbench.methods.mitigations.rr_clarc import DIRECTIONS, RRClArC
from rrrbench.methods.network import Net
from torch import nn

ALONG = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def net_along(directions: torch.Tensor, net: Net = NET) -> Net:
    return Net(net.module, {**net.parameters, DIRECTIONS: directions})


def test_the_penalty_in_closed_form():
    """At the features h = x of z = W h, the gradient is sum_k W_k - K sum_k p_k W_k."""
    along = torch.stack([sum((gradient_at(INPUTS)[n] @ v) ** 2 for v in ALONG) for n in range(3)])
    value = RRClArC().terms(net_along(ALONG), BATCH, STRENGTH).right_reason
    torch.testing.assert_close(value, STRENGTH * along.mean())


def test_without_a_direction_there_is_no_penalty():
    assert RRClArC().terms(net_along(torch.zeros_like(ALONG)), BATCH, STRENGTH).right_reason.item() == 0


def test_features_and_directions_are_constants():
    module = nn.Module()
    module.features, module.head = nn.Sequential(nn.Linear(5, 5)), nn.Linear(5, 4)
    module.double()
    directions = ALONG.clone().requires_grad_()
    net = net_along(directions, Net(module, dict(module.named_parameters())))
    total = sum(RRClArC().terms(net, BATCH, STRENGTH))
    of = [net.parameters["features.0.weight"], directions, net.parameters["head.weight"]]
    features, own, head = torch.autograd.grad(total, of, allow_unused=True)
    assert features is None
    assert own is None
    assert head.abs().max() > 0


@pytest.mark.long
def test_descent_makes_the_last_layer_insensitive_along_the_direction_alone():
    """The penalty alone, on a fixed last layer: logits stop to change along v, and go on to across it."""
    weight, v = WEIGHT.clone().requires_grad_(), torch.zeros(4, 5, dtype=torch.float64)
    v[0, 0] = 1.0
    net = net_along(v, Net(NET.module, {"head.weight": weight}))
    adam = torch.optim.Adam([weight], lr=0.05)
    for _ in range(400):
        adam.zero_grad()
        RRClArC().terms(net, BATCH._replace(labels=LABELS), STRENGTH).right_reason.backward()
        adam.step()
    slopes = weight.detach()[:, 0].sum() - 4 * (INPUTS @ weight.detach().T).softmax(1) @ weight.detach()[:, 0]
    assert slopes.abs().max() < 0.01 < gradient_at(INPUTS)[:, 0].abs().max()
    torch.testing.assert_close(weight.detach()[:, 1:].std(), WEIGHT[:, 1:].std(), rtol=0.3, atol=0)
