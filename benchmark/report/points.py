"""The numbers of every picture: means over seeds with their intervals, and what a leaderboard chose."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from ..selection import SHIFTED
from ..statistics import interval

ENDS = ("", ":low", ":high")


def trusted(runs: pd.DataFrame) -> pd.DataFrame:
    """The finished runs with true masks: what a picture of strengths shows."""
    return runs[(runs["status"] == "finished") & (runs["masks"] == "true")]


def over_strengths(runs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One sweep's `mean`, `low` and `high` over seeds, by strength, ascending.

    A strength that lacks a seed of the sweep has NaN.
    """
    table = runs.pivot(index="seed", columns="strength", values=metric)
    mean, low, high = interval(table.to_numpy())
    return pd.DataFrame({"mean": mean, "low": low, "high": high}, index=table.columns)


def shifted_metric(rows: pd.DataFrame) -> str | None:
    """The headline of one setting: the first of `SHIFTED` that its rows have."""
    return next((name for name in SHIFTED if name in rows and rows[name].notna().any()), None)


def settings(runs: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Dataset, network and their runs."""
    for (dataset, network), own in runs.groupby(["dataset", "network"], sort=False):
        yield str(dataset), str(network), own


def annotated_inputs(masks: str) -> float | None:
    """How many training inputs a control's mitigation had a true mask of; infinity for all, None for wrong masks."""
    if masks == "true":
        return float("inf")
    words = masks.split()
    return float(words[1]) if words[0] == "on" else None


def leading(board: pd.DataFrame) -> pd.Series:
    """Of each row of one setting and rule, whether it is in the best group.

    The group is of those with true masks whose interval reaches the interval of the best mean; it is empty where every
    one does, because then the intervals separate none.
    """
    metric = shifted_metric(board)
    ranked = (board["masks"] == "true") & (board[metric].notna() if metric else False)
    if metric is None or not ranked.any():
        return pd.Series(False, index=board.index)
    low = board[f"{metric}:low"].fillna(board[metric])[ranked]
    high = board[f"{metric}:high"].fillna(board[metric])[ranked]
    best = high >= low[board.loc[ranked, metric].idxmax()]
    return (best & (not best.all())).reindex(board.index, fill_value=False)
