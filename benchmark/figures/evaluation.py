"""The picture of an evaluated network: inputs beside their twins, both predictions, and where the network looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from torch import Tensor

from .images import WRONG, as_image, draw_image, mask_of, size_of


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
        mask = mask_of(pictured.masks[row], pictured.inputs[row])
        shown = iter(own)
        draw_image(next(shown), as_image(pictured.inputs[row]), mask, pictured.before[row])
        if pictured.twins is not None:
            flipped = WRONG if pictured.flipped[row] else None
            draw_image(next(shown), as_image(pictured.twins[row]), mask, pictured.after[row], flipped)
        for axis, values in zip(shown, pictured.maps.values(), strict=True):
            draw_image(axis, size_of(values[row]), mask)
    return figure
