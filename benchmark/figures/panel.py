"""The saliency panel: inputs with their masks outlined, and where networks look, ERM's first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from textwrap import wrap
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from torch import Tensor

from .images import WRONG, as_image, draw_image, mask_of, size_of

DPI = 100
LETTERS_AN_INCH = 15
"""Of a title of 8 points."""


class Look(NamedTuple):
    """Where one network looks: its attributions and predictions of the panel's inputs."""

    attribution: Float[Tensor, "n *features"]
    predicted: Int[Tensor, "n"]


def saliency_panel(
    inputs: Float[Tensor, "n *features"],
    masks: Bool[Tensor, "n *#features"],
    labels: Int[Tensor, "n"],
    looks: Mapping[str, Look],
    title: str,
    classes: Sequence[str] = (),
) -> bytes:
    """A png: one row an input; its columns the input over its label, then |attribution| over the prediction.

    A wrong prediction has a coloured frame. Each attribution is scaled to its own largest entry.

    Args:
        classes: names of the classes, if they have any.
    """
    columns, rows = 1 + len(looks), len(inputs)
    side = min(1.3, 12 / columns)  # inches: many columns stay legible at a page's width
    texts = (title, "each map scaled to its largest entry; frame: wrong prediction")
    lines = [line for text in texts for line in wrap(text, int(LETTERS_AN_INCH * side * columns))]
    above = 0.45 + 0.15 * len(lines)
    figure = Figure(figsize=(side * columns, (side + 0.2) * rows + above + 0.05))
    room = above / figure.get_figheight()
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.25 / figure.get_figheight(), top=1 - room, hspace=0.25)
    figure.suptitle("\n".join(lines), fontsize=8)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, heading in zip(axes[0], ["input, mask outlined", *looks], strict=True):
        axis.set_title(heading, fontsize=7.5)
    for row, own in enumerate(axes):
        mask, label = mask_of(masks[row], inputs[row]), int(labels[row])
        draw_image(own[0], as_image(inputs[row]), mask, f"label {_named(label, classes)}")
        for axis, look in zip(own[1:], looks.values(), strict=True):
            predicted = int(look.predicted[row])
            wrong = WRONG if predicted != label else None
            draw_image(axis, size_of(look.attribution[row]), mask, f"predicts {_named(predicted, classes)}", wrong)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    return small(png.getvalue())


def small(png: bytes) -> bytes:
    """The same picture with 128 colours, which are a third of the bytes."""
    from PIL import Image

    packed = BytesIO()
    Image.open(BytesIO(png)).convert("RGB").quantize(128).save(packed, "png", optimize=True)
    return packed.getvalue()


def _named(label: int, classes: Sequence[str]) -> str:
    return classes[label] if label < len(classes) else str(label)
