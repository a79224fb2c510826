"""The picture of an evaluated network: inputs beside their twins, both predictions, and where the network looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

OUTLINE, FLIPPED = "#d55e00", "#d55e00"


@dataclass(frozen=True)
class Pictured:
    """What a figure of an evaluation is drawn from; all on the CPU.

    Attributes:
        before: what stands below each input: its label and the prediction.
        after: likewise below its twin; empty where there are no twins.
        flipped: whether the two predictions differ.
        maps: attributions of the inputs, by the explainer's name.
    """

    inputs: Float[Tensor, "n *features"]
    masks: Bool[Tensor, "n *#features"]
    before: Sequence[str]
    twins: Float[Tensor, "n *features"] | None = None
    after: Sequence[str] = ()
    flipped: Sequence[bool] = ()
    maps: Mapping[str, Float[Tensor, "n *features"]] = field(default_factory=dict)


def evaluation_figure(pictured: Pictured, title: str) -> Figure:
    """One row an input. The mask is outlined; each attribution, |a| summed over channels, is scaled to its largest."""
    columns = ["input", *(["twin"] if pictured.twins is not None else []), *pictured.maps]
    rows = len(pictured.inputs)
    figure = Figure(figsize=(1.6 * len(columns), 1.8 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(rows, len(columns), squeeze=False)
    for axis, heading in zip(axes[0], columns, strict=True):
        axis.set_title(heading.replace("_", " "), fontsize=8)
    for row, own in enumerate(axes):
        mask = _image(pictured.masks[row].expand_as(pictured.inputs[row]).float()).max(-1)
        shown = iter(own)
        _draw(next(shown), _image(pictured.inputs[row]), mask, pictured.before[row])
        if pictured.twins is not None:
            flipped = pictured.flipped[row]
            _draw(next(shown), _image(pictured.twins[row]), mask, pictured.after[row], FLIPPED if flipped else None)
        for axis, values in zip(shown, pictured.maps.values(), strict=True):
            size = _image(values[row].abs()).sum(-1)
            _draw(axis, size / max(float(size.max()), np.finfo(np.float32).tiny), mask, "")
    return figure


def _draw(
    axis: Axes,
    image: Float[np.ndarray, "rows columns *channels"],
    mask: Float[np.ndarray, "rows columns"],
    below: str,
    colour: str | None = None,
) -> None:
    axis.imshow(image, cmap="magma" if image.ndim == 2 else "gray", vmin=0, vmax=1)
    if min(mask.shape) > 1 and 0 < mask.mean() < 1:
        axis.contour(mask, [0.5], colors=OUTLINE, linewidths=0.8)
    axis.set(xticks=[], yticks=[])
    axis.set_xlabel(below, fontsize=7, color=colour or "black")
    for spine in axis.spines.values():
        spine.set(color=colour or "0.7", linewidth=2 if colour else 0.5)


def _image(values: Float[Tensor, "*features"]) -> Float[np.ndarray, "rows columns channels"]:
    """Channels last; an input that is no image is one line of pixels."""
    image = values.reshape(1, 1, -1) if values.dim() != 3 else values
    return image.detach().cpu().float().movedim(0, -1).numpy()
