"""The picture of a suite: accuracy under shift and reliance over strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ..figures.axes import label_ends
from ..figures.lines import over_strength
from ..figures.palette import OTHER, styles
from ..ranking.inert import one_line
from .points import DRAWN, by_sweep, named, over_strengths, trusted

ROWS = 12
"""Rows of a picture at most; its title says if there are more sweeps. 200 rows are more pixels than a png may have."""


def sweep_figure(runs: pd.DataFrame, title: str, board: pd.DataFrame | None = None) -> Figure:
    """Draws a row of axes for each sweep and a column for each metric: a line for each mitigation, over strength.

    Bands are the means' intervals. A mitigation without a strength (ERM) is a level line. ERM and the best are named,
    the others grey. Runs with other than true masks are left out; a figure of no runs says so.

    Args:
        board: the leaderboard's rows by one rule, whose best are named; the first of the runs if not given.
    """
    finished = trusted(runs)
    sweeps = list(by_sweep(finished))
    if len(sweeps) > ROWS:
        title, sweeps = f"{title} (the first {ROWS} of {len(sweeps)} sweeps)", sweeps[:ROWS]
    if not sweeps:
        return _empty_figure(title)
    metrics = [metric for metric in DRAWN if metric in finished]
    figure = Figure(figsize=(4.8 * len(metrics), 3 * len(sweeps) + 0.5), layout=ConstrainedLayoutEngine(w_pad=0.12))
    figure.suptitle(plain(title), fontsize=10)
    axes = figure.subplots(len(sweeps), len(metrics), squeeze=False)
    for row, (name, compared) in zip(axes, sweeps, strict=True):
        own = None if board is None else board[board["sweep_key"] == compared["sweep_key"].iat[0]]
        for axis, metric in zip(row, metrics, strict=True):
            _draw(axis, compared, metric, named(own, compared["mitigation"].unique()))
            axis.set(xscale="log", xlabel="strength", ylabel=DRAWN[metric])
        row[0].set_title(plain(str(name)), loc="left", fontsize=9)  # names are longer than a column is wide
    return figure


def _draw(axis: Axes, runs: pd.DataFrame, metric: str, names: Sequence[str]) -> None:
    drawn = {str(name): own for name, own in runs.groupby("mitigation", sort=False)}
    axis.set_xscale("log")
    ends = []
    for mitigation, style in styles(names, drawn).items():
        table = over_strengths(drawn[mitigation], metric)
        bands = {name: table[name].to_numpy() for name in ("mean", "low", "high")}
        end = over_strength(axis, table.index.to_numpy(), bands, style)
        if style.colour != OTHER and end.y == end.y:
            ends.append(end._replace(text=plain(mitigation)))
    right = max((end.x for end in ends if end.x == end.x), default=axis.get_xlim()[1])
    label_ends(axis, [end._replace(x=right) if end.x != end.x else end for end in ends])


def _empty_figure(title: str) -> Figure:
    figure = Figure(figsize=(6, 1.2), layout="constrained")
    figure.suptitle(plain(title), fontsize=10)
    figure.text(0.5, 0.3, "no finished run with true masks", ha="center", fontsize=9)
    return figure


def plain(text: str) -> str:
    """A name as Matplotlib shows it: what is between dollars it takes for a formula."""
    return one_line(text).replace("$", r"\$")


def save(figure: Figure, stem: Path, suffixes: Sequence[str] = (".png", ".pdf")) -> None:
    """Saves a figure as png for the screen and as pdf for papers, or with other suffixes; a stem may have dots."""
    if (engine := figure.get_layout_engine()) is not None:
        with rc_context({"text.hinting": "none"}):  # text is as wide as in a vector format, where nothing hints it
            engine.execute(figure)
    figure.set_layout_engine(None)  # laid out once for all formats; with an engine every format would be drawn twice
    for suffix in suffixes:
        figure.savefig(stem.with_name(f"{stem.name}{suffix}"), dpi=110)
