"""A faint plane wave over the whole image."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from ..planter import Canvas, Images, Masks, Planter, planters

TURN = 1024
"""Phases of a whole period."""


@planters.register
class Wave(Planter):
    """Adds a triangular plane wave whose direction is the value, at a random phase; mitigations are told no mask.

    The image's contrast is reduced to make room for the wave. Directions are spread evenly over half a turn. The true
    mask is everywhere. Our own, after low-frequency artefacts of scanners.
    """

    name = "wave"
    opaque: ClassVar[bool] = False

    told: Annotated[bool, Field(description="whether mitigations are given its mask, which is everywhere")] = False
    amplitude: Annotated[float, Field(gt=0, le=0.5, description="of the wave, as a share of white")] = 0.3
    periods: Annotated[float, Field(gt=0, le=14, description="of the wave across an image")] = 2.0

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        n, _, height, width = canvas.images.shape
        angles = [math.pi * k / canvas.count for k in range(canvas.count)]
        down, across = (
            np.array([round(TURN * self.periods * part(angle) / side) for angle in angles], np.int32)[canvas.values][
                :, None, None
            ]
            for part, side in ((math.sin, height), (math.cos, width))
        )
        phase = canvas.rng.integers(0, TURN, n).astype(np.int32)[:, None, None]
        rows, columns = (np.arange(side, dtype=np.int32) for side in (height, width))
        turned = (phase + down * rows[:, None] + across * columns) % TURN
        high = round(2 * self.amplitude * 255)  # from trough to crest
        wave = (high * np.abs(2 * turned - TURN) // TURN).astype(np.uint16)
        waved = (canvas.images.astype(np.uint16) * (255 - high) + 127) // 255 + wave[:, None]
        masks = np.broadcast_to(canvas.shown, (n, 1, height, width)).copy()
        return np.where(canvas.shown, waved, canvas.images).astype(np.uint8), masks
