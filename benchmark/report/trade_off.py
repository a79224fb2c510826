"""Accuracy under shift against reliance: one point a strength, the chosen strength with its interval."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from ..figures.lines import Line, trade_off
from ..figures.palette import styles
from .curves import plain
from .points import chosen, named, shifted_metric, trade_offs


def trade_off_lines(runs: pd.DataFrame, board: pd.DataFrame) -> dict[str, Line]:
    """The line of every mitigation of one sweep, from its least to its greatest strength; grey lines first.

    Args:
        board: the leaderboard's rows of this sweep, by one rule.
    """
    tables = dict(trade_offs(runs))
    lines = {}
    for mitigation, style in styles(named(board, tables), tables).items():
        table, pick = tables[mitigation], chosen(board, mitigation)
        place = list(table.index).index(pick) if pick in table.index else None
        interval = None
        if place is not None:
            row = table.iloc[place]
            interval = (row["reliance:low"], row["reliance:high"], row["accuracy:low"], row["accuracy:high"])
        x, y = (table[name].to_numpy() for name in ("reliance", "accuracy"))
        lines[mitigation] = Line(plain(mitigation), style, x, y, place, interval)
    return lines


def trade_off_figure(runs: pd.DataFrame, board: pd.DataFrame, title: str) -> Figure:
    """Draws the runs of one sweep; ERM and the best five are named.

    Args:
        board: the leaderboard's rows of this sweep, by one rule.
    """
    return trade_off(list(trade_off_lines(runs, board).values()), plain(title), shifted_metric(runs) or "")
