"""Accuracy under shift against reliance: one point a strength, the chosen one ringed."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from .curves import BESIDE, line_style
from .points import over_strengths, shifted_metric, trusted

RELIANCE = "flip_rate"
POINT = {"marker": "o", "markersize": 3, "linewidth": 0.8}


def trade_off_figure(runs: pd.DataFrame, board: pd.DataFrame, title: str) -> Figure:
    """The runs of one dataset and network; a line a mitigation, from its least to its greatest strength.

    Args:
        board: the leaderboard's rows of this dataset and network, by one rule.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for color, (mitigation, line) in enumerate(trade_offs(runs)):
        style = line_style(color)
        axis.plot(
            line["reliance"], line["accuracy"], marker="o", markersize=3, linewidth=0.8, label=mitigation, **style
        )
        ringed = line[line.index == chosen(board, mitigation)]
        axis.plot(ringed["reliance"], ringed["accuracy"], "o", markersize=9, fillstyle="none", color=style["color"])
    axis.set_title(title, fontsize=9)
    axis.set(xlabel="flip rate (reliance on the shortcut)", ylabel=shifted_metric(runs) or "")
    entries = len(axis.get_legend_handles_labels()[1])
    axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1), ncols=1 + entries // BESIDE)
    return figure


def trade_offs(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Of each mitigation with true masks: `accuracy` and `reliance` by strength, each with `:low` and `:high`."""
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
    """The strength that the board's rule chose with true masks; None for a sweep that is not ranked."""
    row = board[(board["mitigation"] == mitigation) & (board["masks"] == "true")]
    return None if row.empty else float(row["strength"].iat[0])
