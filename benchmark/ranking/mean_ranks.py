"""Mean ranks over the sweeps that share methods, with the difference that two of them must have to be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2, rankdata, studentized_range

LEAST = 3
"""Methods, and sweeps, below which nothing is tested."""


@dataclass(frozen=True)
class MeanRanks:
    """Methods by their mean rank over sweeps, 1 for the highest.

    Attributes:
        ranks: mean rank by method, best first.
        sweeps: the count of sweeps N.
        friedman: p value of Friedman's test, with the correction for ties: ranks this far apart if all methods were
            alike.
        critical: Nemenyi's critical difference at 5 %, q · √(k (k + 1) / 6N) for k methods; two mean ranks that differ
            by less are not told apart. Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, 2006.
    """

    ranks: pd.Series
    sweeps: int
    friedman: float
    critical: float


def mean_ranks(scores: Sequence[pd.Series]) -> MeanRanks | None:
    """The mean ranks over the largest block of sweeps and methods in which every sweep has every method.

    Sweeps come in the order of their number of methods, and the block is of as many of the first, three at least, as
    make methods times sweeps largest. Two sweeps of one data set count as two, although they are not independent.

    Args:
        scores: of every sweep, the headline accuracy of each method, by its name.

    Returns:
        None if the block has fewer than three methods or three sweeps.
    """
    block = _block(scores)
    sweeps, methods = block.shape
    if methods < LEAST:
        return None
    ranks = rankdata(-block.to_numpy().round(12), axis=1)
    # Friedman's χ² with ties: methods' sum of squared rank sums about their mean, over the ranks' variance.
    spread = ((ranks.mean(0) - (methods + 1) / 2) ** 2).sum() * sweeps**2
    variance = ((ranks - (methods + 1) / 2) ** 2).sum() / (methods - 1)
    friedman = float(chi2.sf(spread / variance, methods - 1)) if variance else 1.0
    critical = studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2) * np.sqrt(methods * (methods + 1) / 6 / sweeps)
    return MeanRanks(pd.Series(ranks.mean(0), block.columns).sort_values(), sweeps, friedman, float(critical))


def _block(scores: Sequence[pd.Series]) -> pd.DataFrame:
    """A row a sweep, a column a method; empty where there are too few sweeps."""
    ordered = sorted(scores, key=len, reverse=True)
    blocks = [pd.concat(ordered[:count], axis=1, join="inner").T for count in range(LEAST, len(ordered) + 1)]
    return max(blocks, key=lambda block: block.size, default=pd.DataFrame())
