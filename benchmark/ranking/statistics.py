"""The mean over seeds, and the interval in which it might lie with other seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit


class Interval(NamedTuple):
    """A mean over seeds and the ends of its interval."""

    mean: Float[np.ndarray, "*metrics"]
    low: Float[np.ndarray, "*metrics"]
    high: Float[np.ndarray, "*metrics"]

    def within(self, least: ArrayLike, largest: ArrayLike) -> Interval:
        """Cuts the ends at a metric's range, outside of which no mean can be; the mean itself is always kept."""
        low = np.maximum(self.low, np.minimum(least, self.mean))
        return Interval(self.mean, low, np.minimum(self.high, np.maximum(largest, self.mean)))


def with_interval(mean: float, low: float, high: float, decimals: int = 3) -> str:
    """`0.950 [0.941, 0.959]`; without the interval where it is NaN, as a single seed's is; `-` for a mean of NaN."""
    if np.isnan(mean):
        return "-"
    middle, *ends = (f"{value:z.{decimals}f}" for value in (mean, low, high))
    return middle if np.isnan(low) else f"{middle} [{', '.join(ends)}]"


def interval(values: Float[np.ndarray, "seeds *metrics"], confidence: float = 0.95) -> Interval:
    """The mean over seeds with Student's t interval: mean ± t(seeds - 1) · sd / √seeds.

    The interval is of the mean over seeds: where it would lie had other seeds been drawn. It is not the range of
    single runs, and it knows nothing of the finite test set. It covers the true mean as often as it says where seeds
    are normal, however few they are; with few it is wide, for two seeds tell little, and `Interval.within` cuts what
    reaches beyond a metric's range.

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
    half = stdtrit(seeds - 1, (1 + confidence) / 2) * deviations.std(0, ddof=1) / np.sqrt(seeds)
    return Interval(mean, mean - half, mean + half)


def mean_of_means(samples: Sequence[Float[np.ndarray, "_"]], confidence: float = 0.95) -> Interval:
    """The mean of independent samples' means with its t interval, degrees of freedom by Welch and Satterthwaite.

    Low and high are NaN where a sample has a single value.
    """
    mean = np.mean([sample.mean() for sample in samples])
    if min(map(len, samples)) < 2:
        return Interval(mean, np.asarray(np.nan), np.asarray(np.nan))
    free = np.array([len(sample) - 1 for sample in samples])
    errors = np.array([sample.var(ddof=1) / len(sample) for sample in samples])
    if not errors.any():
        return Interval(mean, mean, mean)
    degrees = errors.sum() ** 2 / (errors**2 / free).sum()
    half = stdtrit(degrees, (1 + confidence) / 2) * np.sqrt(errors.sum()) / len(samples)
    return Interval(mean, mean - half, mean + half)


def paired_p(differences: Float[np.ndarray, "seeds"]) -> float:
    """The two-sided p value of Student's paired t test: differences of this size if their true mean were 0.

    1 where all differences are 0, 0 where all are one other number; NaN for a single seed.
    """
    mean, low, high = interval(differences)
    if low == high:
        return float(mean == 0)
    if len(differences) < 2:
        return np.nan
    error = differences.std(ddof=1) / np.sqrt(len(differences))
    return float(2 * stdtr(len(differences) - 1, -abs(mean) / error))


def holm(p: pd.Series) -> pd.Series:
    """P values adjusted for the number of comparisons: below α, with all errors of a table at most α together.

    Holm, A simple sequentially rejective multiple test procedure, 1979. NaN is no comparison and stays NaN.
    """
    ordered = p.dropna().sort_values()
    adjusted = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(p.index)


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
