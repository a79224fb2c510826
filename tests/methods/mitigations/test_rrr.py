from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.gradients import masked_input_gradient
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.targets import TARGETS
from small import Linear, bound, small_net_and_batch
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)


def test_the_penalty_equals_its_closed_form_on_a_linear_network():
    # z = W x, so d/dx sum_k log p_k = sum_k W_k - K sum_k p_k W_k
    weight = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inputs = torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    masks = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
    labels = torch.tensor([0, 3, 1])
    terms = RRR().terms(bound(Linear(weight)), Batch(inputs, labels, masks, labels), STRENGTH)
    probabilities = F.softmax(inputs @ weight.T, -1)
    gradient = weight.sum(0) - 4 * probabilities @ weight
    torch.testing.assert_close(terms.right_reason, STRENGTH * (gradient * masks).square().sum(1).mean())
    torch.testing.assert_close(terms.right_answer, F.cross_entropy(inputs @ weight.T, labels))


@pytest.mark.parametrize("target", TARGETS)
def test_the_penalty_equals_central_finite_differences(target):
    net, batch = small_net_and_batch()
    mitigation = RRR(target=target)
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    step, total = 1e-6, 0.0
    for position in batch.masks.any(0).flatten().nonzero()[:, 0].tolist():
        nudge = torch.zeros(batch.inputs[0].numel(), dtype=torch.float64)
        nudge[position] = step
        plus, minus = (
            TARGETS[target](net(batch.inputs + sign * nudge.view_as(batch.inputs[0])), batch) for sign in (1, -1)
        )
        total = total + ((plus - minus) / (2 * step) * batch.masks.flatten(1)[:, position]).square().detach()
    expected = STRENGTH * total.mean()
    torch.testing.assert_close(mitigation.terms(net, batch, STRENGTH).right_reason, expected, rtol=1e-5, atol=1e-12)


def test_gradients_of_opposite_sign_do_not_cancel():
    weight = torch.tensor([[1.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    batch = Batch(
        torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]), torch.ones(1, 2, dtype=torch.bool), torch.tensor([0])
    )
    gradient, _ = masked_input_gradient(bound(Linear(weight)), batch, lambda z: F.log_softmax(z, -1)[:, 0])
    assert gradient.sum().item() == 0  # p = 1/2 each: d log p_0 / dx = (1/2, -1/2)
    assert RRR(target="log_prob_true").terms(bound(Linear(weight)), batch, STRENGTH).right_reason == 0.7 * 0.5


def test_cross_entropy_and_log_prob_true_are_one_penalty():
    net, batch = small_net_and_batch()
    penalties = [RRR(target=t).terms(net, batch, STRENGTH).right_reason for t in ("cross_entropy", "log_prob_true")]
    torch.testing.assert_close(*penalties)


@pytest.mark.parametrize("network", ["mlp", "lenet-like"])
def test_restricting_to_touched_positions_changes_no_penalty_and_no_gradient(network):
    if network == "mlp":
        net, batch = small_net_and_batch()
    else:
        module = torch.nn.Module()
        module.features = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten()).double()
        module.head = torch.nn.Linear(48, 3).double()
        net, batch = bound(module), small_net_and_batch()[1]
    touched = batch.masks.any(0).flatten().nonzero()[:, 0]
    assert len(touched) < batch.inputs[0].numel() / 2
    everywhere, there = (RRR().terms(net, b, STRENGTH) for b in (batch, batch._replace(touched=touched)))
    torch.testing.assert_close(everywhere, there)
    parameters = list(net.parameters.values())
    gradients = [torch.autograd.grad(t.right_reason, parameters, materialize_grads=True) for t in (everywhere, there)]
    torch.testing.assert_close(*gradients)
