"""The numbers of every picture: means over seeds with their intervals, and the strengths that a leaderboard chose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from ..figures.axes import TITLES
from ..figures.palette import BASELINE
from ..ranking.selection import SHIFTED
from ..ranking.statistics import interval
from ..ranking.sweeps import SweepName, sweep_names
from ..store.record import range_of

ENDS = ("", ":low", ":high")
DRAWN = TITLES
"""The metrics that are drawn over strength, with the titles of their axes."""
RELIANCE = "flip_rate"


def trusted(runs: pd.DataFrame) -> pd.DataFrame:
    """The finished runs with true masks, which a picture of strengths shows."""
    return runs[(runs["status"] == "finished") & (runs["masks"] == "true")]


def over_strengths(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One mitigation's `mean`, `low` and `high` over seeds, in the metric's range, by strength, ascending.

    A strength that lacks a seed of the other strengths has NaN.
    """
    seeds, seed = np.unique(runs["seed"].to_numpy(), return_inverse=True)
    strengths, strength = np.unique(runs["strength"].to_numpy(), return_inverse=True)
    table = np.full((len(seeds), len(strengths)), np.nan)
    table[seed, strength] = runs[metric].to_numpy()
    return pd.DataFrame(interval(table).within(*range_of(metric))._asdict(), index=strengths)


def shifted_metric(rows: pd.DataFrame) -> str | None:
    """The headline of one sweep: the first of `SHIFTED` that its rows have."""
    return next((name for name in SHIFTED if name in rows and rows[name].notna().any()), None)


def by_sweep(runs: pd.DataFrame) -> Iterator[tuple[SweepName, pd.DataFrame]]:
    """The runs of every sweep with its name, in the order of the runs."""
    names = sweep_names(runs)
    for key, own in runs.groupby("sweep_key", sort=False):
        yield names[str(key)], own


def annotated_inputs(masks: str) -> float | None:
    """The number of training inputs with a true mask, of masks in words; infinity for all, None for wrong masks."""
    if masks == "true":
        return float("inf")
    words = masks.split()
    return float(words[1]) if words[0] == "on" else None


def leading(board: pd.DataFrame) -> pd.Series:
    """Whether each row of one sweep and rule is in the best group.

    The group has the rows with true masks whose interval reaches the interval of the best mean; it is empty where every
    row is among them, because then the intervals separate no row.
    """
    metric = shifted_metric(board)
    ranked = (board["masks"] == "true") & (board[metric].notna() if metric else False)
    if metric is None or not ranked.any():
        return pd.Series(False, index=board.index)
    low = board[f"{metric}:low"].fillna(board[metric])[ranked]
    high = board[f"{metric}:high"].fillna(board[metric])[ranked]
    best = high >= low[board.loc[ranked, metric].idxmax()]
    return (best & (not best.all())).reindex(board.index, fill_value=False)


def trade_offs(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Every mitigation with true masks: `accuracy` and `reliance` by strength, each with `:low` and `:high`."""
    metric = shifted_metric(runs)
    if metric is None or RELIANCE not in runs:
        return []
    lines = []
    for mitigation, own in trusted(runs).groupby("mitigation", sort=False):
        accuracy, reliance = (over_strengths(own, name) for name in (metric, RELIANCE))
        columns = {
            f"{name}{end}": table[column]
            for name, table in (("accuracy", accuracy), ("reliance", reliance))
            for end, column in (("", "mean"), (":low", "low"), (":high", "high"))
        }
        lines.append((str(mitigation), pd.DataFrame(columns)))
    return lines


def chosen(board: pd.DataFrame, mitigation: str) -> float | None:
    """The strength that the board's rule chose with true masks; None for a mitigation that is not ranked."""
    row = board[(board["mitigation"] == mitigation) & (board["masks"] == "true")]
    return None if row.empty else float(row["strength"].iat[0])


def named(board: pd.DataFrame | None, drawn: Iterable[str]) -> list[str]:
    """The mitigations of a figure from the most to the least worth a name: ERM, then the board's best.

    Networks that were trained without the shortcut are a bound, and come last.

    Args:
        board: the rows of the figure's sweep by one rule; in the order of `drawn` if not given.
    """
    if board is None or board.empty:
        return [BASELINE, *drawn]
    ranked = board[board["masks"] == "true"]
    bounds = ranked["needs"] == "twins" if "needs" in ranked else pd.Series(False, index=ranked.index)
    return [BASELINE, *map(str, ranked.loc[~bounds, "mitigation"]), *map(str, ranked.loc[bounds, "mitigation"]), *drawn]
