"""Brier score, calibration error and AUGRC against scikit-learn, by hand, and at their limits."""

import math

import numpy as np
import pytest
import torch
from rrrbench.benchmark.metrics.confidence import augrc, brier_score, calibration_error
from scipy.integrate import trapezoid
from sklearn.metrics import brier_score_loss


@pytest.fixture
def logits():
    return torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.arange(200) % 3


def test_brier_is_scikit_learns_not_halved(logits, labels):
    expected = [
        brier_score_loss(labels.numpy(), net.double().softmax(-1).numpy(), labels=[0, 1, 2], scale_by_half=False)
        for net in logits
    ]
    assert brier_score(logits, labels).tolist() == pytest.approx(expected, rel=1e-12)


def test_brier_of_certainty_is_0_or_2_and_of_uniform_probabilities_1_less_1_over_classes():
    sure = torch.tensor([[[1e4, 0.0, 0.0]], [[0.0, 1e4, 0.0]], [[0.0, 0.0, 0.0]]])
    assert brier_score(sure, torch.tensor([0])).tolist() == pytest.approx([0, 2, 2 / 3])


def test_calibration_error_by_hand():
    """Confidences 0.9, 0.9 (one right) and 0.6 (right) are in bins 13 and 9: (2 |0.5 - 0.9| + |1 - 0.6|) / 3."""
    logits = torch.tensor([[[p, 1 - p] for p in (0.9, 0.9, 0.6)]]).double().log()
    assert calibration_error(logits, torch.tensor([0, 1, 0])).tolist() == pytest.approx([(2 * 0.4 + 0.4) / 3])


def test_certainty_that_is_right_is_calibrated_and_what_is_not_finite_has_no_number():
    logits = torch.tensor([[[1e4, 0.0]], [[math.nan, 0.0]]])
    for measure in (calibration_error, brier_score, augrc):
        right, broken = measure(logits, torch.tensor([0])).tolist()
        assert right == 0
        assert math.isnan(broken)


def test_augrc_is_the_area_under_the_curve(logits, labels):
    """The curve itself, without ties: of the c N most confident inputs, how many of all N are wrong."""
    for net, found in zip(logits, augrc(logits, labels), strict=True):
        confidence, predicted = net.double().softmax(-1).max(-1)
        wrong = (predicted != labels)[confidence.argsort(descending=True)].double().numpy()
        curve = np.concatenate([[0], wrong.cumsum()]) / len(labels)
        assert found.item() == pytest.approx(trapezoid(curve, dx=1 / len(labels)), rel=1e-12)


def test_augrc_of_equal_confidences_is_half_the_error():
    logits = torch.zeros(1, 4, 2)  # predicts class 0
    assert augrc(logits, torch.tensor([0, 0, 0, 1])).item() == pytest.approx(1 / 8)
