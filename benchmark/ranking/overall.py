"""Which mitigations work over all sweeps: mean ranks and gains over ERM, each with its interval over seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata

from ..store.record import range_of
from .mean_ranks import MeanRanks, mean_ranks
from .selection import BASELINE, NoEligibleStrength, headline, select
from .statistics import interval, mean_of_means

BOUND = "twins"
"""What a network needs that is a bound and no mitigation."""
DRAWS = 1000
COLUMNS = (
    *("mitigation", "needs", "sweeps", "of", "rank", "rank:low", "rank:high"),
    *("beaten", "beaten:low", "beaten:high", "gain", "gain:low", "gain:high", "better", "worse"),
)
"""The columns of `rank_overall`. `of`: methods of its sweeps, on average; `better`, `worse`: counts of sweeps."""


@dataclass(frozen=True)
class Scores:
    """Headline accuracies of one sweep: a row a seed, a column a mitigation at the strength that a rule chose."""

    mitigations: list[str]
    values: Float[np.ndarray, "seeds mitigations"]

    def ranks(self, draws: Float[np.ndarray, "draws seeds"]) -> Float[np.ndarray, "draws mitigations"]:
        """The rank of each mean, 1 for the highest; equal means share their mean rank. A draw weighs the seeds."""
        return rankdata(-(draws @ self.values).round(12), axis=1)


def rank_overall(runs: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The mitigations with true masks over all sweeps, by the share of the other methods that they beat.

    In every sweep, the mitigations that have all seeds are ranked by their mean headline accuracy, each at the strength
    that the rule chose for it. `rank` is the mean over sweeps; because sweeps have different numbers of methods, rows
    are ordered by `beaten`, the mean over sweeps of (n - rank) / (n - 1). Their intervals are of 1,000 bootstrap draws
    of the seeds, in each sweep by itself: they say how sure the ranks are on these data sets, and nothing about others;
    with few seeds they are too narrow. `gain` is the accuracy over ERM's by seed, averaged over sweeps, with its t
    interval; `better` counts the sweeps in which the 95 % interval of the difference by seed lies above 0, `worse`
    below. Networks that were trained without the shortcut are a bound, and left out. A run of two suites counts once.

    Args:
        runs: flat rows, of any number of suites.
    """
    runs = _counted(runs)
    needs = runs.drop_duplicates("mitigation").set_index("mitigation")["needs"]
    sweeps = _sweeps(runs, rule)
    rows = [_row(str(name), needs[name], sweeps) for name in needs.index]
    board = pd.DataFrame([row for row in rows if row], columns=list(COLUMNS))
    return board.sort_values(["beaten", "gain", "mitigation"], ascending=[False, False, True], ignore_index=True)


def mean_ranks_overall(runs: pd.DataFrame, rule: str) -> MeanRanks | None:
    """The mean ranks of the mitigations that many sweeps share, in the same sweeps as `rank_overall`."""
    sweeps = _sweeps(_counted(runs), rule)
    return mean_ranks([pd.Series(scores.values.mean(0), scores.mitigations) for scores in sweeps])


def _counted(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["masks"] == "true"].drop_duplicates("run_key")


def _sweeps(runs: pd.DataFrame, rule: str) -> list[Scores]:
    return [scores for _, own in runs.groupby("sweep_key", sort=False) if (scores := _scores(own, rule)) is not None]


def _scores(runs: pd.DataFrame, rule: str) -> Scores | None:
    """The scores of one sweep; None where fewer than two methods can be compared."""
    columns = dict(_chosen(runs[runs["needs"] != BOUND], rule))
    seeds = max((len(values) for values in columns.values()), default=0)
    whole = {name: values for name, values in columns.items() if len(values) == seeds and values.notna().all()}
    if len(whole) < 2:
        return None
    table = pd.DataFrame(whole).dropna()
    return Scores(list(whole), table.to_numpy(float)) if len(table) else None


def _chosen(runs: pd.DataFrame, rule: str) -> Iterator[tuple[str, pd.Series]]:
    for name, own in runs.groupby("mitigation", sort=False):
        try:
            strength = select(rule, own)
        except NoEligibleStrength:
            continue
        own = own[own["strength"] == strength]
        yield str(name), headline(own).set_axis(own["seed"])


def _row(name: str, needs: str, sweeps: list[Scores]) -> dict[str, object]:
    """A mitigation's row; empty if no sweep ranks it."""
    random = np.random.default_rng(0)
    ranks, draws, beaten, gains, sizes = [], [], [], [], []
    better = worse = 0
    for scores in sweeps:
        seeds, count = len(scores.values), len(scores.mitigations)
        weights = random.multinomial(seeds, [1 / seeds] * seeds, size=DRAWS) / seeds
        if name not in scores.mitigations:
            continue
        column = scores.mitigations.index(name)
        own = scores.ranks(np.vstack([np.full(seeds, 1 / seeds), weights]))[:, column]
        ranks.append(own[0])
        draws.append(own[1:])
        beaten.append((count - own) / (count - 1))
        sizes.append(count)
        if BASELINE in scores.mitigations and name != BASELINE:
            difference = scores.values[:, column] - scores.values[:, scores.mitigations.index(BASELINE)]
            _, low, high = interval(difference)
            gains.append(difference)
            better, worse = better + int(low > 0), worse + int(high < 0)
    if not ranks:
        return {}
    share = np.mean(beaten, axis=0)
    ends = {"rank": np.mean(draws, axis=0), "beaten": share[1:]}
    row: dict[str, object] = {"mitigation": name, "needs": needs, "sweeps": len(ranks), "of": float(np.mean(sizes))}
    row |= {"rank": float(np.mean(ranks)), "beaten": float(share[0]), "better": better, "worse": worse}
    if gains:
        row |= dict(
            zip(
                ("gain", "gain:low", "gain:high"),
                map(float, mean_of_means(gains).within(*range_of("gain"))),
                strict=True,
            )
        )
    for column, values in ends.items():
        row[f"{column}:low"], row[f"{column}:high"] = np.quantile(values, [0.025, 0.975]).tolist()
    return row
