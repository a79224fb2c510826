"""The mean over seeds, and the interval in which it might lie with other seeds."""

from __future__ import annotations

from functools import cache
from itertools import combinations_with_replacement
from math import factorial, prod
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

_ENUMERATED = 8  # seeds: 6,435 distinct resamples; 9 have 24,310
_DRAWN = 10_000


class Interval(NamedTuple):
    """A mean over seeds and the ends of its interval."""

    mean: Float[np.ndarray, "*metrics"]
    low: Float[np.ndarray, "*metrics"]
    high: Float[np.ndarray, "*metrics"]


def with_interval(mean: float, low: float, high: float, decimals: int = 3) -> str:
    """`0.950 [0.941, 0.959]`; without the interval where it is NaN, as a single seed's is; `-` for a mean of NaN."""
    if np.isnan(mean):
        return "-"
    middle, *ends = (f"{value:z.{decimals}f}" for value in (mean, low, high))
    return middle if np.isnan(low) else f"{middle} [{', '.join(ends)}]"


def interval(values: Float[np.ndarray, "seeds *metrics"], confidence: float = 0.95) -> Interval:
    """The mean over seeds, with its percentile bootstrap interval.

    The interval is of the mean over seeds: where it would lie had other seeds been drawn. It is not the range of
    single runs, and it knows nothing of the finite test set. Its ends are quantiles (inverse distribution function) of
    the mean of as many seeds, drawn with replacement from those given. Up to 8 seeds the distribution is exact: all
    seeds**seeds resamples count. Beyond, it is 10,000 resamples, the same at every call.

    With few seeds it is too narrow: on normal data the 95 % interval covers the true mean in 75 % of cases with 3
    seeds, 83 % with 5, 89 % with 8 (simulated, 20,000 draws each).

    Args:
        values: one row a seed. NaN in any seed makes that metric's mean and interval NaN.
        confidence: between 0 and 1.

    Returns:
        Mean, low and high, each of the metrics' shape; low and high are NaN for a single seed.

    Raises:
        ValueError: there is no seed, or the confidence is outside (0, 1).
    """
    seeds = len(values)
    if seeds == 0:
        raise ValueError("an interval over 0 seeds: give one row a seed")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, expected a number between 0 and 1, such as 0.95")
    origin = values[0]  # means are taken of differences from it, so that equal seeds have an interval of no width
    deviations = values - origin
    mean = origin + deviations.mean(0)
    if seeds == 1:
        return Interval(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    counts, weights = _resamples(seeds)
    means = origin + np.tensordot(counts, deviations, 1) / seeds
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0, weights=weights, method="inverted_cdf")
    return Interval(mean, low, high)


def share_interval(share: float, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a share of `count` inputs (Wilson's): where it would lie had other inputs been drawn.

    It knows nothing of other seeds.
    """
    from scipy.stats import binomtest  # takes a second to import

    low, high = binomtest(round(share * count), count).proportion_ci(confidence, "wilson")
    return float(low), float(high)


def paired_difference(a: pd.Series, b: pd.Series, confidence: float = 0.95) -> Interval:
    """The mean of `a - b`, seed by seed, with its interval: what seeds share cancels.

    Args:
        a: one value a seed, indexed by seed.
        b: likewise, over the same seeds in any order.
        confidence: as for `interval`.

    Raises:
        ValueError: the two are not of the same seeds, each once.
    """
    a, b = a.sort_index(), b.sort_index()
    if not (a.index.is_unique and a.index.equals(b.index)):
        raise ValueError(f"a difference by seed needs the same seeds, each once: {list(a.index)} and {list(b.index)}")
    return interval(np.asarray(a - b, float), confidence)


@cache
def _resamples(seeds: int) -> tuple[Int[np.ndarray, "resamples seeds"], Int[np.ndarray, "resamples"]]:
    """How often a resample has each seed, and how many of the seeds**seeds ordered draws it stands for."""
    if seeds > _ENUMERATED:
        counts = np.random.default_rng(0).multinomial(seeds, [1 / seeds] * seeds, size=_DRAWN)
        return counts, np.ones(_DRAWN, int)
    draws = np.array(list(combinations_with_replacement(range(seeds), seeds)))
    counts = (draws[:, :, None] == np.arange(seeds)).sum(1)
    orders = [factorial(seeds) // prod(factorial(count) for count in resample) for resample in counts.tolist()]
    return counts, np.array(orders)
