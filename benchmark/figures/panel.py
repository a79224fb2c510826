"""The saliency panel: inputs, their masks, and where networks look at growing strengths."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor


def saliency_panel(
    inputs: Float[Tensor, "n *features"],
    masks: Bool[Tensor, "n *#features"],
    attributions: Mapping[str, Float[Tensor, "n *features"]],
    title: str,
) -> bytes:
    """A png: one row an input; its columns the input, its mask, and |attribution| by heading.

    Each attribution is scaled to its own largest entry, as the title says. Inputs that are not images are drawn as one
    line of pixels.
    """
    columns = {"input": _images(inputs), "mask": _images(masks.expand_as(inputs).float())}
    columns |= {heading: _scaled(_images(values.abs()).mean(-1)) for heading, values in attributions.items()}
    rows = len(inputs)
    side = min(1.3, 12 / len(columns))  # inches: many columns stay legible at a page's width
    figure = Figure(figsize=(side * len(columns), side * rows + 0.6), layout="constrained")
    figure.suptitle(f"{title}, each map scaled to its largest entry", fontsize=9)
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for column, (heading, images) in enumerate(columns.items()):
        axes[0][column].set_title(heading, fontsize=8)
        for row in range(rows):
            axes[row][column].imshow(images[row], cmap="gray" if column < 2 else "magma", vmin=0, vmax=1)
            axes[row][column].set_axis_off()
    png = BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _images(values: Float[Tensor, "n *features"]) -> Float[np.ndarray, "n height width channels"]:
    flat = values.dim() == 2
    images = values.reshape(len(values), 1, 1, -1) if flat else values
    return images.detach().cpu().float().movedim(1, -1).numpy()


def _scaled(images: Float[np.ndarray, "n height width"]) -> Float[np.ndarray, "n height width"]:
    return images / np.maximum(images.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
