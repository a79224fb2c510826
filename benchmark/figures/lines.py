"""Lines of methods: accuracy against reliance, and a metric over strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .axes import FLIP_RATE, Box, End, corner, label_ends
from .palette import BASELINE, IN_MATPLOTLIB, OTHER, Style

Interval = tuple[float, float, float, float]
"""Low and high of x, then of y."""


@dataclass(frozen=True)
class Line:
    """One method's points, and the point that a rule chose.

    Attributes:
        label: the method's name as it is shown.
        chosen: the place of the chosen point; None where no point is chosen.
        interval: of the chosen point.
    """

    label: str
    style: Style
    x: Float[np.ndarray, "points"]
    y: Float[np.ndarray, "points"]
    chosen: int | None = None
    interval: Interval | None = None

    @property
    def named(self) -> bool:
        return self.style.colour != OTHER


def trade_off(lines: Sequence[Line], title: str, y_title: str) -> Figure:
    """Draws y against the flip rate, a line a method; a chosen point is large, and has its interval.

    Where the chosen points are all in one corner, an inset beside shows it. Names stand beside the axes, by the order
    of the chosen points; ERM's at its point.
    """
    box = inset_box(lines)
    figure = Figure(figsize=(7.2 if box is None else 9.2, 4), layout="constrained")
    drawn = figure.subplots(1, 1 if box is None else 2, squeeze=False, width_ratios=None if box is None else [1, 1.2])[
        0
    ]
    for axis in drawn:
        for line in lines:
            _draw(axis, line)
    figure.suptitle(title, fontsize=9)
    drawn[0].set_ylabel(y_title)
    figure.supxlabel(FLIP_RATE, fontsize=9)
    if box is not None:
        drawn[1].set(xlim=box[:2], ylim=box[2:])
        drawn[1].set_title("inset: the corner of the chosen points", fontsize=8)
        drawn[1].tick_params(labelsize=7)
        drawn[0].add_patch(Rectangle(
            (box.left, box.low), box.right - box.left, box.high - box.low, fill=False, color="0.3", linewidth=0.8
        ))  # fmt: skip
    chosen = [_chosen_end(line) for line in lines if line.named and line.chosen is not None]
    inside = [end for end in chosen if box is None or box.holds(end.x, end.y)]
    label_ends(drawn[-1], inside)
    for end in chosen:
        if end not in inside:
            drawn[0].annotate(end.text, (end.x, end.y), xytext=(0, -12), textcoords="offset points",
                              fontsize=7, ha="center", va="top")  # fmt: skip
    if grey := sum(not line.named for line in lines):
        drawn[-1].annotate(f"grey: {grey} others", (1.06, -0.02), xycoords="axes fraction", fontsize=7, color="0.4")
    return figure


def inset_box(lines: Sequence[Line]) -> Box | None:
    """The corner in which the chosen points of all named lines but ERM's are, if they are in one."""
    picked = [line for line in lines if line.named and line.label != BASELINE and line.chosen is not None]
    ends = [end for line in picked if line.interval is not None for end in _corners(line.interval)]
    chosen = [(float(line.x[line.chosen]), float(line.y[line.chosen])) for line in picked] + ends  # pyrefly: ignore
    points = [point for line in lines for point in zip(line.x.tolist(), line.y.tolist(), strict=True)]
    places = [*chosen, *(point for point in points if not np.isnan(point).any())]
    x, y = np.array(places).reshape(-1, 2).T
    return corner(x, y, range(len(chosen))) if len(picked) > 1 else None


def _corners(interval: Interval) -> list[tuple[float, float]]:
    left, right, low, high = interval
    return [] if np.isnan(interval).any() else [(left, low), (right, high)]


def over_strength(
    axis: Axes, strengths: Float[np.ndarray, "points"], bands: Mapping[str, Float[np.ndarray, "points"]], style: Style
) -> End:
    """Draws one method's `mean` with the band from `low` to `high`; a single strength of 0 is a level line.

    Returns:
        The end of the line; its text is empty.
    """
    named, mean = style.colour != OTHER, bands["mean"]
    drawn = {"color": style.colour, "zorder": 2.5 if named else 1.5, "linewidth": 1.4 if named else 0.8}
    if strengths.max() == 0:
        axis.axhline(mean[0], linestyle="--", **drawn)
        if named:
            axis.axhspan(bands["low"][0], bands["high"][0], color=style.colour, alpha=0.12, linewidth=0)
        return End(np.nan, float(mean[0]), "", style.colour)
    kept = strengths > 0
    x, mean = strengths[kept], mean[kept]
    axis.plot(x, mean, marker=IN_MATPLOTLIB[style.marker] if named else "", markersize=3.5, **drawn)
    if named:
        axis.fill_between(x, bands["low"][kept], bands["high"][kept], color=style.colour, alpha=0.15, linewidth=0)
    there = np.flatnonzero(~np.isnan(mean))
    last = there[-1] if len(there) else -1
    return End(float(x[last]), float(mean[last]), "", style.colour)


def _draw(axis: Axes, line: Line) -> None:
    colour, marker = line.style.colour, IN_MATPLOTLIB[line.style.marker]
    if not line.named:
        axis.plot(line.x, line.y, color=colour, linewidth=0.7, marker=".", markersize=2, zorder=1.5)
        return
    axis.plot(line.x, line.y, color=colour, linewidth=1, marker=marker, markersize=3, zorder=2.5)
    if line.chosen is None:
        return
    x, y = line.x[line.chosen], line.y[line.chosen]
    if line.interval is not None and not np.isnan(line.interval).any():
        left, right, low, high = line.interval
        axis.errorbar(
            x, y, xerr=[[x - left], [right - x]], yerr=[[y - low], [high - y]], ecolor=colour, elinewidth=1, fmt="none"
        )
    axis.plot(x, y, marker, color=colour, markersize=8, markeredgecolor="black", markeredgewidth=0.8, zorder=3)


def _chosen_end(line: Line) -> End:
    place = line.chosen or 0
    return End(float(line.x[place]), float(line.y[place]), line.label, line.style.colour)
