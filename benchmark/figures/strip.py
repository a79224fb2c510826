"""The counterfactual strip: inputs, what an explainer made of them, and what that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

HIT, OTHER = "tab:green", "tab:gray"
KEPT, PUT, TAKEN = (0.75, 0.75, 0.75), (0.0, 0.8, 0.8), (0.85, 0.45, 0.0)
"""What the ink takes from white: it is grey, red, and blue."""


class Labelled(NamedTuple):
    """An image in [0, 1], and what stands below it."""

    image: Float[Tensor, "1 rows columns"]
    below: str
    hit: bool | Bool[Tensor, ""] = False


def counterfactual_strip(
    rows: Sequence[tuple[Labelled, Sequence[Labelled]]], title: str, columns: int | None = None
) -> Figure:
    """One row an input: the input, then each counterfactual with what it changed, in a green frame if it is a hit.

    In a change, ink is grey where it stayed, red where it was put, and blue where it was taken away.

    Args:
        rows: an input with its counterfactuals.
        columns: how many counterfactuals of each; the most that a row has if not said.
    """
    columns = columns or max(len(changed) for _, changed in rows)
    figure = Figure(figsize=(1.3 + 2.4 * columns, 1.75 * len(rows) + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(rows), 1 + columns, squeeze=False, width_ratios=[1, *[2.05] * columns])
    for row, ((given, changed), own) in enumerate(zip(rows, axes, strict=True)):
        _draw(own[0], _pixels(given.image), given)
        for axis, other in zip(own[1:], changed, strict=False):
            gap = np.ones((given.image.shape[1], 1, 3))
            _draw(axis, np.hstack([_pixels(other.image), gap, _change(given.image, other.image)]), other)
        for axis in own[1 + len(changed) :]:
            axis.imshow(np.ones((given.image.shape[1], 2 * given.image.shape[2] + 1, 3)))  # as large as the others
            axis.set_axis_off()
        if row == 0:
            for axis, heading in zip(own, ["input", *["counterfactual | change"] * columns], strict=True):
                axis.set_title(heading, fontsize=8)
    return figure


def _draw(axis: Axes, pixels: Float[np.ndarray, "rows columns 3"], labelled: Labelled) -> None:
    axis.imshow(pixels)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(labelled.below, fontsize=7)
    for spine in axis.spines.values():
        spine.set(color=HIT if labelled.hit else OTHER, linewidth=2.5 if labelled.hit else 0.5)


def _pixels(image: Float[Tensor, "1 rows columns"]) -> Float[np.ndarray, "rows columns 3"]:
    return image.detach().cpu().movedim(0, 2).expand(-1, -1, 3).numpy()


def _change(
    before: Float[Tensor, "1 rows columns"], after: Float[Tensor, "1 rows columns"]
) -> Float[np.ndarray, "rows columns 3"]:
    one, other = _pixels(before), _pixels(after)
    kept, put, taken = np.minimum(one, other), (other - one).clip(min=0), (one - other).clip(min=0)
    return 1 - kept * KEPT - put * PUT - taken * TAKEN
