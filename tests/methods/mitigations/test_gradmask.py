from __future__ import annotations

import pytest
import torch
from linear_network import BATCH, INPUTS, LABELS, MASKS, NET, STRENGTH, WEIGHT, right_reason
from rrrbench.methods.mitigations.gradmask import GradMask, lead
from rrrbench.methods.mitigations.rrr import RRR
from small import Linear, bound


def contrasts() -> torch.Tensor:
    """d/dx (z_y - max of the others) of z = W x: W_y - W_k, k the nearest other class."""
    logits = INPUTS @ WEIGHT.T
    logits[range(3), LABELS] = -torch.inf
    return WEIGHT[LABELS] - WEIGHT[logits.argmax(1)]


@pytest.mark.parametrize("norm", [1, 2])
def test_the_penalty_of_a_linear_network_in_closed_form(norm):
    expected = STRENGTH * (MASKS * contrasts().abs() ** norm).sum(1).mean()
    torch.testing.assert_close(right_reason(GradMask(norm=norm)), expected)


def test_of_two_classes_it_is_the_released_contrast_of_the_two_logits():
    weight = WEIGHT[:2]
    batch = BATCH._replace(labels=torch.tensor([0, 1, 1]))
    value = GradMask().terms(bound(Linear(weight)), batch, STRENGTH).right_reason
    expected = STRENGTH * (MASKS * (weight[0] - weight[1]).abs()).sum(1).mean()
    torch.testing.assert_close(value, expected)


def test_it_does_not_vanish_on_fitted_inputs():
    """Logits ten times as large: the contrast's gradient is, too, where that of log p_y vanishes."""
    fitted = bound(Linear(100 * WEIGHT))
    torch.testing.assert_close(GradMask().terms(fitted, BATCH, STRENGTH).right_reason, 100 * right_reason(GradMask()))
    vanished = RRR(target="log_prob_true").terms(fitted, BATCH._replace(labels=(INPUTS @ WEIGHT.T).argmax(1)), STRENGTH)
    assert vanished.right_reason < 1


def test_a_lead_by_hand():
    logits = torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]])
    assert lead(logits, torch.tensor([1, 0])).tolist() == [2.0, -3.0]


def test_the_released_strength_is_a_sum_over_16_inputs():
    assert GradMask().published_strength == pytest.approx(3.2)
    assert GradMask(norm=2).published_strength is None


def test_outside_the_core_the_other_features_are_penalised():
    core = torch.tensor([[0, 0, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool)
    forbidden = ~core & core.any(1, keepdim=True)
    expected = STRENGTH * (forbidden * contrasts().abs()).sum(1).mean()
    value = GradMask(told="outside core").terms(NET, BATCH._replace(core=core), STRENGTH).right_reason
    torch.testing.assert_close(value, expected)
