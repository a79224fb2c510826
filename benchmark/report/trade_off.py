"""Accuracy under shift against reliance: one point a strength, the chosen strength ringed."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from .curves import BESIDE, line_style, plain
from .points import chosen, shifted_metric, trade_offs


def trade_off_figure(runs: pd.DataFrame, board: pd.DataFrame, title: str) -> Figure:
    """Draws the runs of one sweep; a line a mitigation, from its least to its greatest strength.

    Args:
        board: the leaderboard's rows of this sweep, by one rule.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axis = figure.subplots()
    for color, (mitigation, line) in enumerate(trade_offs(runs)):
        style = line_style(color)
        axis.plot(
            line["reliance"],
            line["accuracy"],
            marker="o",
            markersize=3,
            linewidth=0.8,
            label=plain(mitigation),
            **style,
        )
        ringed = line[line.index == chosen(board, mitigation)]
        axis.plot(ringed["reliance"], ringed["accuracy"], "o", markersize=9, fillstyle="none", color=style["color"])
    axis.set_title(plain(title), fontsize=9)
    axis.set(xlabel="flip rate (reliance on the shortcut)", ylabel=shifted_metric(runs) or "")
    if entries := len(axis.get_legend_handles_labels()[1]):
        axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1), ncols=1 + entries // BESIDE)
    return figure
