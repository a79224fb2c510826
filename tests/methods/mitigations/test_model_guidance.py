from __future__ import annotations

import math

import pytest
import torch
from linear_network import BATCH as OF_ANY_LABEL
from linear_network import INPUTS, MASKS, NET, STRENGTH, WEIGHT
from rrrbench.methods.mitigations.model_guidance import LOSSES, ModelGuidance, energy, l1, ppce
from small import Linear, bound, small_net_and_batch

LABELS = torch.stack((WEIGHT[:, 0].argmax(), WEIGHT[:, 4].argmax(), torch.tensor(1)))  # attributions in the masks
BATCH = OF_ANY_LABEL._replace(labels=LABELS)
POSITIVE = torch.tensor([[1.0, 0.0, 3.0, 4.0]], dtype=torch.float64)
FORBIDDEN = torch.tensor([[True, True, False, False]])


def test_the_energy_is_the_forbidden_share():
    assert energy(POSITIVE, FORBIDDEN).item() == pytest.approx(1 / 8)


def test_l1_is_the_distance_from_a_uniform_map_outside():
    assert l1(POSITIVE, FORBIDDEN).item() == pytest.approx((1 / 4 + 0 + 1 / 4 + 0) / 4)


def test_ppce_is_the_surprise_outside_alone():
    assert ppce(POSITIVE, FORBIDDEN).item() == pytest.approx(-math.log(3 / 4) / 2)
    inside = POSITIVE.clone()
    inside[0, 0] = 3.9
    assert ppce(inside, FORBIDDEN).item() == ppce(POSITIVE, FORBIDDEN).item()  # says nothing of the shortcut
    assert ppce(torch.ones_like(POSITIVE), FORBIDDEN).item() == pytest.approx(0, abs=1e-9)  # a flat map is its optimum


@pytest.mark.parametrize(("loss", "value"), [("energy", 0.0), ("l1", 0.5), ("ppce", 100.0)])
def test_an_attribution_of_zeros_has_a_finite_error_and_no_gradient(loss, value):
    zeros = torch.zeros_like(POSITIVE).requires_grad_()
    error = LOSSES[loss](zeros.relu(), FORBIDDEN)
    (gradient,) = torch.autograd.grad(error.sum(), zeros)
    assert error.item() == pytest.approx(value)
    assert (gradient == 0).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_the_term_of_a_linear_network_in_closed_form(loss):
    """Input times gradient of z_y is x W_y; an input without a mask counts 0."""
    positive = (INPUTS * WEIGHT[LABELS]).relu()
    errors = LOSSES[loss](positive, MASKS) * torch.tensor([1, 1, 0])
    value = ModelGuidance(loss=loss).terms(NET, BATCH, STRENGTH).right_reason
    torch.testing.assert_close(value, STRENGTH * errors.mean())
    assert value > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_it_cannot_be_met_by_shrinking_all_gradients(loss):
    value, shrunk = (
        ModelGuidance(loss=loss).terms(bound(Linear(scale * WEIGHT)), BATCH, STRENGTH).right_reason
        for scale in (1.0, 0.01)
    )
    torch.testing.assert_close(shrunk, value, rtol=1e-6, atol=0)


def test_a_black_shortcut_is_free_under_input_times_gradient_and_not_under_the_gradient():
    black = BATCH._replace(inputs=torch.where(MASKS, 0.0, INPUTS))
    for attribution, free in (("input_times_gradient", True), ("gradient", False)):
        value = ModelGuidance(attribution=attribution).terms(NET, black, STRENGTH).right_reason
        assert (value.item() == 0) == free


def test_the_published_energy_is_this_energy_of_the_complement():
    net, batch = small_net_and_batch()
    core = batch.core
    value = ModelGuidance(told="outside core").terms(net, batch, STRENGTH).right_reason
    inputs = batch.inputs.clone().requires_grad_()
    logits = net(inputs).gather(1, batch.labels[:, None]).sum()
    (gradient,) = torch.autograd.grad(logits, inputs)
    positive = (inputs * gradient).sum(1).relu().detach()
    published = 1 - (positive * core[:, 0]).sum((1, 2)) / positive.sum((1, 2))
    torch.testing.assert_close(value.detach(), STRENGTH * published.mean())


def test_its_gradient_equals_finite_differences():
    (gradient,) = torch.autograd.grad(ModelGuidance().terms(NET, BATCH, STRENGTH).right_reason, NET.module.head.weight)
    step = torch.zeros_like(WEIGHT)
    step[0, 1] = 1e-6
    up, down = (
        ModelGuidance().terms(bound(Linear(WEIGHT + sign * step)), BATCH, STRENGTH).right_reason for sign in (1, -1)
    )
    torch.testing.assert_close(gradient[0, 1], ((up - down) / 2e-6).detach(), rtol=1e-5, atol=1e-8)


def test_the_published_strength_is_a_sum_over_64_inputs():
    assert ModelGuidance().published_strength == pytest.approx(0.064)
    assert ModelGuidance(loss="l1").published_strength is None
    assert ModelGuidance(loss="ppce").published_strength is None
