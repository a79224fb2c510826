"""The picture of a suite: accuracy under shift and reliance over strength."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..ranking.inert import one_line
from .points import DRAWN, by_sweep, over_strengths, trusted

BESIDE = 20
"""Entries in one column of a legend."""
ROWS = 12
"""Rows of a picture at most; its title says if there are more sweeps. 200 rows are more pixels than a png may have."""


def sweep_figure(runs: pd.DataFrame, title: str) -> Figure:
    """Draws a row of axes for each sweep and a column for each metric: a line for each mitigation, over strength.

    Bands are the means' intervals. A mitigation without a strength (ERM) is a horizontal band. Runs with other than
    true masks are left out; a figure of no runs says so.
    """
    finished = trusted(runs)
    sweeps = list(by_sweep(finished))
    if len(sweeps) > ROWS:
        title, sweeps = f"{title} (the first {ROWS} of {len(sweeps)} sweeps)", sweeps[:ROWS]
    if not sweeps:
        return _empty_figure(title)
    metrics = [metric for metric in DRAWN if metric in finished]
    figure = Figure(figsize=(4 * len(metrics), 3 * len(sweeps) + 0.5), layout="constrained")
    figure.suptitle(plain(title), fontsize=10)
    axes = figure.subplots(len(sweeps), len(metrics), squeeze=False)
    for row, (name, compared) in zip(axes, sweeps, strict=True):
        for axis, metric in zip(row, metrics, strict=True):
            for color, (mitigation, own) in enumerate(compared.groupby("mitigation", sort=False)):
                _line(axis, own, metric, str(mitigation), line_style(color))
            axis.set(xscale="log", xlabel="strength", ylabel=DRAWN[metric], title=plain(str(name)))
            axis.title.set_fontsize(9)
        entries = len(row[0].get_legend_handles_labels()[1])
        row[-1].legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1), ncols=1 + entries // BESIDE)
    return figure


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


def line_style(index: int) -> dict[str, Any]:
    """Ten colours, four ways of drawing a line."""
    return {"color": f"C{index % 10}", "linestyle": ("-", "--", ":", "-.")[index // 10 % 4]}


def _line(axis: Axes, runs: pd.DataFrame, metric: str, label: str, style: dict[str, Any]) -> None:
    table = over_strengths(runs, metric)
    color = style["color"]
    if table.index.max() == 0:
        axis.axhline(table["mean"].iat[0], **style, label=plain(label))
        axis.axhspan(table["low"].iat[0], table["high"].iat[0], color=color, alpha=0.15, linewidth=0)
        return
    table = table[table.index > 0]
    axis.plot(table.index, table["mean"], marker="o", **style, label=plain(label), markersize=3)
    axis.fill_between(table.index, table["low"], table["high"], color=color, alpha=0.15, linewidth=0)
