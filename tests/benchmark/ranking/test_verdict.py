"""The rule of RULES.md, on numbers worked out by hand."""

import numpy as np
import pytest
from rrrbench.benchmark.metrics.base import metric
from rrrbench.benchmark.ranking.verdict import point, prediction_interval, verdict

FIVE = np.array([0.94, 0.95, 0.95, 0.95, 0.96])
"""Mean 0.95, s = sqrt(0.0002 / 4) = 0.00707107; t_0.975 of 4 degrees of freedom is 2.776445 in any table."""


def test_interval_of_a_single_published_run():
    """2.776445 * 0.00707107 * sqrt(1 + 1/5) = 0.0215063"""
    assert prediction_interval(FIVE) == pytest.approx((0.95 - 0.0215063, 0.95 + 0.0215063), abs=1e-7)


def test_interval_of_a_published_mean_over_five():
    """2.776445 * 0.00707107 * sqrt(2/5) = 0.0124167"""
    assert prediction_interval(FIVE, 5) == pytest.approx((0.95 - 0.0124167, 0.95 + 0.0124167), abs=1e-7)


def test_interval_covers_as_often_as_it_says():
    runs = np.random.default_rng(0).normal(size=(1000, 5 + 3))
    inside = [low <= run[5:].mean() <= high for run in runs for low, high in [prediction_interval(run[:5], 3)]]
    assert abs(np.mean(inside) - 0.95) < 4 * (0.95 * 0.05 / len(runs)) ** 0.5


@pytest.mark.parametrize(
    ("published", "seeds", "expected"),
    [
        (0.95, 1, "reproduced"),
        (0.9714, 1, "reproduced"),  # in the interval of one run, which ends at 0.97151
        (0.9714, 5, "close"),  # and not in that of a mean, which ends at 0.96242
        (0.96, 5, "reproduced"),
        (0.9201, 1, "close"),
        (0.92, 1, "close"),  # exactly 3 points
        (0.9199, 1, "not reproduced"),
        (0.99, 1, "not reproduced"),
    ],
)
def test_verdicts(published, seeds, expected):
    assert verdict(published, FIVE, published_seeds=seeds) == expected


def test_seeds_that_agree_leave_the_points_alone():
    same = np.full(5, 0.5)
    assert [verdict(0.5 + d, same) for d in (0.0, 0.01, 0.011, 0.03, 0.031)] == [
        "reproduced", "reproduced", "close", "close", "not reproduced",
    ]  # fmt: skip


def test_one_seed_has_no_interval_and_proves_nothing_far_away():
    assert verdict(0.5, np.array([0.9])) == "not reproduced"
    assert verdict(0.895, np.array([0.9])) == "reproduced"


def test_two_seeds_prove_nothing_far_away():
    """12.7 * 0.0283 * sqrt(1 + 1/2) = 0.44: nearly every accuracy is in the interval."""
    two = np.array([0.78, 0.82])
    assert prediction_interval(two)[1] > 1
    assert verdict(0.95, two) == "not reproduced"
    assert verdict(0.805, two) == "reproduced"
    assert verdict(0.95, np.array([0.75, 0.80, 0.85])) == "reproduced"  # three that spread: 4.30 s sqrt(4/3) = 0.25


def test_what_gets_no_verdict():
    assert verdict(0.95, np.array([])) == "not run"
    assert verdict(0.95, np.array([]), provenance="recalled") == "not run"
    assert verdict(0.95, FIVE, provenance="recalled") == "recalled"
    assert verdict(None, FIVE, provenance="figure") == "no number"


def test_a_point_is_a_hundredth_of_the_range():
    assert point(metric("accuracy/random")) == 0.01
    assert point(metric("wrong_reason_pos/input_gradient")) == 1
    assert point(metric("top_10_abs/input_gradient")) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="mass_abs_over_chance"):
        point(metric("mass_abs_over_chance/input_gradient"))
    assert verdict(2.0, np.array([2.05, 2.05]), point=0.1) == "reproduced"
