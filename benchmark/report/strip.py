"""The counterfactual strip: inputs, what an explainer made of them, and what it changed."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

Labelled = tuple[Float[Tensor, "1 rows columns"], str]
"""An image and what stands below it."""


def counterfactual_strip(
    rows: Sequence[tuple[Labelled, Sequence[Labelled]]], title: str, columns: int | None = None
) -> Figure:
    """One row an input: the input, then each counterfactual with its difference from the input.

    Differences are blue where ink was taken away and red where it was put.

    Args:
        rows: an input with its counterfactuals.
        columns: how many counterfactuals of each; the most that a row has if not said.
    """
    columns = columns or max(len(changed) for _, changed in rows)
    widths = [1.0, *[1.0, 1.0] * columns]
    figure = Figure(figsize=(1.05 * len(widths), 1.55 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(rows), len(widths), squeeze=False)
    for row, (((image, below), changed), own) in enumerate(zip(rows, axes, strict=True)):
        _draw(own[0], image, below, "gray", 0)
        for (other, words), ink, difference in zip(changed, own[1::2], own[2::2], strict=False):
            _draw(ink, other, words, "gray", 0)
            _draw(difference, other - image, "", "RdBu_r", -1)
        for axis in own[1 + 2 * len(changed) :]:
            axis.set_axis_off()
        if row == 0:
            for axis, heading in zip(own, ["input", *["counterfactual", "change"] * columns], strict=True):
                axis.set_title(heading, fontsize=7)
    return figure


def _draw(axis: Axes, image: Float[Tensor, "1 rows columns"], below: str, cmap: str, low: float) -> None:
    axis.imshow(image.detach().cpu().squeeze(0).numpy(), cmap=cmap, vmin=low, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(fill(below, 20), fontsize=6)
