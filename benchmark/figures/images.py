"""Images in figures: channels last, the mask outlined, and a prediction below."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from torch import Tensor

from .palette import VERMILLION

OUTLINE, WRONG = "#00b4d8", VERMILLION
"""The mask's outline, which neither grey nor magma's black to yellow has; and a prediction that is wrong or flips."""


def as_image(values: Float[Tensor, "*features"]) -> Float[np.ndarray, "rows columns channels"]:
    """Channels last; an input that is no image is one line of pixels."""
    image = values.reshape(1, 1, -1) if values.dim() != 3 else values
    return image.detach().cpu().float().movedim(0, -1).numpy()


def size_of(values: Float[Tensor, "*features"]) -> Float[np.ndarray, "rows columns"]:
    """|attribution| summed over channels, as a share of its largest entry."""
    size = as_image(values.abs()).sum(-1)
    return size / max(float(size.max()), np.finfo(np.float32).tiny)


def mask_of(mask: Bool[Tensor, "*#features"], like: Float[Tensor, "*features"]) -> Bool[np.ndarray, "rows columns"]:
    """Where any channel of an input is masked."""
    return as_image(mask.expand_as(like).float()).max(-1) > 0.5


def draw_image(
    axis: Axes,
    image: Float[np.ndarray, "rows columns *channels"],
    mask: Bool[np.ndarray, "rows columns"],
    below: str = "",
    colour: str | None = None,
) -> None:
    """Draws an image with the outline of its mask and a line of text below; a coloured frame if a colour is given."""
    axis.imshow(image, cmap="magma" if image.ndim == 2 else "gray", vmin=0, vmax=1, interpolation="nearest")
    if min(mask.shape) > 1:
        axis.add_collection(LineCollection(list(outline(mask)), colors=OUTLINE, linewidths=1))
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(below, fontsize=7, color=colour or "black", labelpad=2)
    for spine in axis.spines.values():
        spine.set(color=colour or "0.7", linewidth=1.6 if colour else 0.5)


def outline(mask: Bool[np.ndarray, "rows columns"]) -> Float[np.ndarray, "edges 2 2"]:
    """The edges between masked and other pixels, as lines (x, y) to (x, y) in pixels."""
    padded = np.pad(mask, 1)
    y, x = np.nonzero(padded[:, 1:] != padded[:, :-1])  # edges to the left and right of pixels
    upright = np.stack([np.stack([x - 0.5, y - 1.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    y, x = np.nonzero(padded[1:] != padded[:-1])
    level = np.stack([np.stack([x - 1.5, y - 0.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    return np.concatenate([upright, level]).astype(float)
