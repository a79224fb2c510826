from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.gradients import input_gradient, masked_input_gradient, predicted_log_odds
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.find_another_explanation import FindAnotherExplanation
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.network import SharedLinear
from rrrbench.methods.targets import TARGETS
from small import Linear, bound, small_net_and_batch, small_trainer
from torch.nn import functional as F

WIDE = {"name": "mlp", "hidden": [32, 16], "init": "torch"}  # the smallest of nets may have no live ReLU
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


def test_shared_linear_is_a_linear_layer_stacked_or_not():
    layer = SharedLinear(5, 4).double()
    inputs = torch.rand(3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(inputs), F.linear(inputs, layer.weight, layer.bias))
    assert torch.autograd.gradgradcheck(lambda x, w: F.linear(x, w).tanh(), (inputs.requires_grad_(), layer.weight))
    weights = torch.randn(6, 4, 5, dtype=torch.float64, requires_grad=True)

    def total(weight):
        return torch.func.functional_call(layer, {"weight": weight}, (inputs.detach(),)).tanh().sum()

    stacked = torch.autograd.grad(torch.func.vmap(total)(weights).sum(), weights)[0]
    alone = torch.autograd.grad(sum(total(weight) for weight in weights), weights)[0]
    torch.testing.assert_close(stacked, alone)


def test_log_odds_point_the_way_of_the_probability():
    net, batch = small_net_and_batch()
    odds, logits = input_gradient(net, batch.inputs, predicted_log_odds)
    probability, _ = input_gradient(net, batch.inputs, lambda z: F.softmax(z, -1).amax(-1))
    p = F.softmax(logits, -1).amax(-1)[:, None, None, None]
    torch.testing.assert_close(odds * p * (1 - p), probability)


def test_largest_gradient_mask_by_hand():
    # two classes, W_0 - W_1 = (3, -2.1, 1.9, 0): the log-odds' gradient is +-that, and 0.67 * 3 = 2.01
    weight = torch.tensor([[3.0, -2.1, 1.9, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0])
    batch = Batch(torch.zeros(1, 4, dtype=torch.float64), labels, torch.zeros(1, 4, dtype=torch.bool), labels)
    mask = FindAnotherExplanation().largest_gradient_mask(bound(Linear(weight)), batch)
    assert mask.tolist() == [[True, True, False, False]]


def test_find_another_explanation_forbids_what_erm_looked_at():
    trainer = small_trainer((10.0,), seeds=(0,), network=WIDE, epochs=60, learning_rate=0.01)
    mitigation = FindAnotherExplanation()
    fitted, erm = mitigation.fit(trainer), ERM().fit(trainer)
    forbidden = trainer.per_input(erm, mitigation.largest_gradient_mask)

    def inside(stack) -> float:
        """Squared gradient of sum_k log p_k where ERM's was largest: what RRR penalises, whatever trained the stack."""
        gradient = trainer.per_input(
            stack, lambda net, b: input_gradient(net, b.inputs, lambda z: F.log_softmax(z, -1).sum(-1))[0]
        )
        return (gradient * forbidden).square().sum().item()

    assert inside(fitted) < 0.01 * inside(erm)


def test_the_networks_before_the_last_are_those_of_fewer_iterations():
    trainer = small_trainer((10.0, 100.0), epochs=3, learning_rate=0.01)
    third = FindAnotherExplanation(iterations=3)
    assert [one.iterations for one in third.passes] == [1, 2]
    for passed, alone in zip(third.fit(trainer).passed, third.passes, strict=True):
        torch.testing.assert_close(passed.parameters, alone.fit(trainer).parameters, rtol=0, atol=0)
