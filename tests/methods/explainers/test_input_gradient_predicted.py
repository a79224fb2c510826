"""Closed forms on linear networks z = W x + b, and the effect of confidence."""

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


def test_gradient_of_log_odds_by_hand():
    """d/dx (z_t - logsumexp of the others) = w_t - sum_{k != t} p_k w_k / (1 - p_t)."""
    network = linear()
    weight, p = network.weight.detach(), network(INPUTS).detach().softmax(1)
    chosen = nn.functional.one_hot(TARGET, 3).double()
    others = p * (1 - chosen) / (1 - (p * chosen).sum(1, keepdim=True))
    torch.testing.assert_close(attribute("input_gradient_predicted", network), (chosen - others) @ weight)


def probability_gradient(network, inputs, target):
    inputs = inputs.clone().requires_grad_()
    p = network(inputs).softmax(1).gather(1, target.unsqueeze(1))
    return torch.autograd.grad(p.sum(), inputs)[0], p.detach()


def test_log_odds_are_the_probability_s_gradient_over_p_times_one_minus_p():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    gradient, p = probability_gradient(network, INPUTS, TARGET)
    attributions = attribute("input_gradient_predicted", network)
    torch.testing.assert_close(attributions, gradient / (p * (1 - p)))
    torch.testing.assert_close(torch.cosine_similarity(attributions, gradient), torch.ones(6).double())


def test_confidence_does_not_change_the_direction():
    """At p = 1 in float32 the log-odds agree with float64, where the probability's own gradient has lost its way."""
    network = linear()
    network.weight.data *= 40
    target = network(INPUTS).argmax(1)
    truth = attribute("input_gradient_predicted", network, target=target)
    lost, p = probability_gradient(network.float(), INPUTS.float(), target)
    confident = (p == 1).squeeze(1)
    assert confident.any()
    found = attribute("input_gradient_predicted", network, INPUTS.float(), target)
    torch.testing.assert_close(found, truth.float(), rtol=1e-4, atol=1e-4)
    assert (found[confident].norm(dim=1) > 1).all()
    assert (torch.cosine_similarity(lost, truth.float())[confident] < 0.99).any()


def test_with_two_classes_log_odds_are_the_difference_of_the_logits():
    network = nn.Linear(4, 2).double()
    difference = network.weight[0] - network.weight[1]
    attributions = attribute("input_gradient_predicted", network, target=torch.zeros(6, dtype=torch.long))
    torch.testing.assert_close(attributions, difference.detach().expand(6, 4))
