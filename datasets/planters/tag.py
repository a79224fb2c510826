"""A white rectangle whose place is the value."""

from __future__ import annotations

import numpy as np

from ..planter import Canvas, Images, Masks, Planter, at_most, planters
from ..registry import BadParameters

HEIGHT, WIDTH, MARGIN = 2, 3, 3
"""Of the rectangle, and between it and the border of the image, to each side and below; pixels."""


@planters.register
class Tag(Planter):
    """Paints a white rectangle of 2x3 pixels near the lower border; the value is how far to the right it is.

    For two values it is on the left or on the right, each the other's mirror image, as in Viviano et al. (ICLR 2021).
    The mask is all places of the rectangle, as no single place may tell the value.
    """

    name = "tag"

    def count(self, classes: int) -> int:
        count = super().count(classes)
        at_most(self, count, 20)
        return count

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        height, width = canvas.images.shape[2:]
        room = width - WIDTH - 2 * MARGIN
        if room + 1 < canvas.count or height < HEIGHT + MARGIN:
            raise BadParameters(
                f"{self.id}: {canvas.count} places do not fit into images of {height}x{width}: take a larger base"
            )
        places = np.zeros((canvas.count, height, width), dtype=bool)
        for place, column in zip(places, MARGIN + np.rint(np.linspace(0, room, canvas.count)).astype(int), strict=True):
            place[height - MARGIN - HEIGHT : height - MARGIN, column : column + WIDTH] = True
        painted = np.where(places[canvas.values][:, None] & canvas.shown, np.uint8(255), canvas.images)
        anywhere = np.logical_or.reduce(places)
        return painted, anywhere[None, None] & canvas.shown
