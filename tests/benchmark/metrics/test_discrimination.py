"""AUC against scikit-learn, by hand, and at its limits."""

import math

import pytest
import torch
from rrrbench.benchmark.metrics.discrimination import auc
from sklearn.metrics import roc_auc_score

LOGITS = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(200) % 3


def one_against_rest(logits, labels, classes):
    areas = [roc_auc_score((labels == k).numpy(), logits[:, k].numpy()) for k in classes]
    return sum(areas) / len(areas)


@pytest.mark.parametrize("digits", [9, 0], ids=["all different", "ties"])
def test_it_is_the_mean_of_scikit_learns_by_class(digits):
    logits = LOGITS.round(decimals=digits)
    expected = [one_against_rest(net, LABELS, range(3)) for net in logits]
    assert auc(logits, LABELS).tolist() == pytest.approx(expected, rel=1e-12)


def test_the_right_order_is_1_the_wrong_order_0_and_no_order_a_half():
    labels = torch.tensor([0, 0, 1, 1])
    right = torch.tensor([[2.0, -2.0], [1.0, -1.0], [-1.0, 1.0], [-2.0, 2.0]])
    assert auc(torch.stack([right, -right, 0 * right]), labels).tolist() == [1, 0, 0.5]


def test_each_logit_counts_and_not_their_difference():
    """The first logit orders one of two pairs, the second both."""
    logits, labels = torch.tensor([[[1.0, 0.0], [3.0, 1.0], [2.0, 5.0]]]), torch.tensor([0, 0, 1])
    assert auc(logits, labels).tolist() == [(0.5 + 1) / 2]


def test_a_class_without_an_input_is_left_out():
    few = LABELS < 2
    expected = one_against_rest(LOGITS[0][few], LABELS[few], range(2))
    assert auc(LOGITS[:1, few], LABELS[few]).tolist() == pytest.approx([expected])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_has_no_number(value):
    broken = LOGITS.clone()
    broken[1, 4, 2] = value
    one, other = auc(broken, torch.where(torch.arange(200) == 4, 2, LABELS)).tolist()
    assert not math.isnan(one)
    assert math.isnan(other)
