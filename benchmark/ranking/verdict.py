"""Whether a published number holds, by the rule that RULES.md states."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import t

from ..metrics.base import Metric

Provenance = Literal["read", "recomputed", "issue", "secondary", "recalled", "figure"]
Verdict = Literal["reproduced", "close", "not reproduced", "not run", "recalled", "no number"]

JUDGEMENTS: tuple[Verdict, ...] = ("reproduced", "close", "not reproduced")
"""The verdicts that judge; the others say why there is no judgement."""
REPRODUCED, CLOSE = 1.0, 3.0  # points
ENOUGH_SEEDS = 3  # for an interval: of two, t is 12.7, and nearly everything is inside
DIGITS = 9  # of a difference in points: 0.96 - 0.95 is a point


def point(metric: Metric) -> float:
    """A hundredth of the metric's range, e.g. 0.01 of an accuracy.

    Raises:
        ValueError: the range has no end.
    """
    if not np.isfinite(metric.high - metric.low):
        raise ValueError(f"{metric.id} has no greatest value, so there are no points: publish a metric with a range")
    return (metric.high - metric.low) / 100


def prediction_interval(
    measured: Float[np.ndarray, "seeds"], published_seeds: int = 1, confidence: float = 0.95
) -> tuple[float, float]:
    """Where the mean of `published_seeds` further runs is expected, given n measured ones.

        mean +- t * s * sqrt(1/n + 1/m)

    with t the quantile (1 + confidence) / 2 of Student's distribution with n - 1 degrees of freedom, s the sample
    standard deviation and m = `published_seeds`; sqrt(1 + 1/n) for a single published run. It takes runs to be normal
    and the published ones to spread as ours do.

    Returns:
        Low and high; infinitely far apart for a single measured run, which has no spread.
    """
    n, mean = len(measured), float(np.mean(measured))
    if n < 2:
        return -np.inf, np.inf
    reach = t.ppf((1 + confidence) / 2, n - 1) * np.std(measured, ddof=1) * np.sqrt(1 / n + 1 / published_seeds)
    return mean - float(reach), mean + float(reach)


def verdict(
    published: float | None,
    measured: Float[np.ndarray, "seeds"],
    *,
    published_seeds: int = 1,
    provenance: Provenance = "read",
    point: float = 0.01,
) -> Verdict:
    """The verdict on one published number.

    Args:
        published: None for a curve that was published without its numbers.
        measured: one value a seed, of those that finished; empty if none was run.
        published_seeds: of how many runs the published value is the mean.
        point: what `REPRODUCED` and `CLOSE` count, in the metric's unit.

    Returns:
        `reproduced`: inside the 95 % prediction interval of at least three seeds, or at most 1 point from the mean.
        `close`: at most 3 points. `recalled` and `no number` are no verdicts.
    """
    if not len(measured):
        return "not run"
    if provenance == "recalled":
        return "recalled"
    if published is None:
        return "no number"
    low, high = prediction_interval(measured, published_seeds)
    apart = round(abs(published - float(np.mean(measured))) / point, DIGITS)
    if apart <= REPRODUCED or (len(measured) >= ENOUGH_SEEDS and low <= published <= high):
        return "reproduced"
    return "close" if apart <= CLOSE else "not reproduced"
