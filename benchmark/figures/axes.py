"""What axes say, and where labels, intervals and an inset go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

TITLES = {
    "accuracy/random": "accuracy, shortcut random",
    "flip_rate": "flip rate",
    "mass_abs_over_chance/input_gradient": "saliency in the mask / chance",
}
"""The axis of every metric that is drawn over strength. All are shares or ratios, and so without a unit."""
FLIP_RATE = "flip rate (share of predictions)"
CORNER = 0.4
"""Chosen points within this share of both axes are in a corner, and have an inset."""
LABEL_GAP = 0.075
"""Between the labels of two lines, as a share of the axes' height."""


class End(NamedTuple):
    """Where a line ends, in data, and what its label says."""

    x: float
    y: float
    text: str
    colour: str


class Box(NamedTuple):
    """A part of the axes, in data."""

    left: float
    right: float
    low: float
    high: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point is in it."""
        return bool(self.left <= x <= self.right and self.low <= y <= self.high)


def spread(places: Sequence[float], gap: float, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Moves places apart until neighbours are `gap` from each other, within [low, high] where there is room."""
    order = np.argsort(places, kind="stable")
    moved = np.clip(np.asarray(places, float)[order], low, high)
    for i in range(1, len(moved)):
        moved[i] = max(moved[i], moved[i - 1] + gap)
    limit = max(high, low + gap * (len(moved) - 1))
    for i in reversed(range(len(moved))):
        moved[i] = min(moved[i], limit - gap * (len(moved) - 1 - i))
    apart = np.empty(len(moved))
    apart[order] = moved
    return apart.tolist()


def label_ends(axis: Axes, ends: Sequence[End], size: float = 7) -> None:
    """Writes each line's name to the right of the axes, at its line's end, apart from the other names."""
    axis.autoscale_view()
    to_share = axis.transData + axis.transAxes.inverted()
    shares = [float(to_share.transform((end.x, end.y))[1]) for end in ends]
    for end, share in zip(ends, spread(shares, LABEL_GAP), strict=True):
        axis.annotate(
            end.text,
            xy=(end.x, end.y),
            xytext=(1.06, share),
            textcoords="axes fraction",
            va="center",
            fontsize=size,
            arrowprops={"arrowstyle": "-", "color": end.colour, "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3},
        )


def corner(x: Float[np.ndarray, "points"], y: Float[np.ndarray, "points"], chosen: Sequence[int]) -> Box | None:
    """The part of the axes with the chosen points, if it is a small corner of the part with all points."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(chosen) < 2:
        return None
    whole = Box(np.nanmin(x), np.nanmax(x), np.nanmin(y), np.nanmax(y))
    own_x, own_y = x[list(chosen)], y[list(chosen)]
    own = Box(own_x.min(), own_x.max(), own_y.min(), own_y.max())
    width, height = whole.right - whole.left, whole.high - whole.low
    if own.right - own.left > CORNER * width or own.high - own.low > CORNER * height:
        return None
    beside, above = (max(0.15 * own_size, 0.02 * size) for own_size, size in (
        (own.right - own.left, width), (own.high - own.low, height)))  # fmt: skip
    return Box(own.left - beside, own.right + beside, own.low - above, own.high + above)
