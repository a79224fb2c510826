"""A colour over the whole image."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ..planter import Canvas, Images, Masks, Planter, hues, planters
from ..stamping import blended


@planters.register
class Tint(Planter):
    """Blends a hue into every pixel; there is no local mask, and mitigations are told none.

    After the tinted X-rays of Reveal2Revise (Pahde et al., MICCAI 2023). The true mask is everywhere.
    """

    name = "tint"
    opaque: ClassVar[bool] = False

    told: Annotated[bool, Field(description="whether mitigations are given its mask, which is everywhere")] = False
    strength: Annotated[float, Field(gt=0, le=1, description="share of the hue, rounded to 255ths")] = 0.1

    @property
    def colored(self) -> bool:
        return True

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        colors = hues(canvas.count)[canvas.values][:, None, None]
        tinted = blended(canvas.images.transpose(0, 2, 3, 1), colors, self.strength)
        masks = np.broadcast_to(canvas.shown, (len(canvas.images), 1, *canvas.images.shape[2:])).copy()
        return np.where(canvas.shown, tinted.transpose(0, 3, 1, 2), canvas.images), masks
