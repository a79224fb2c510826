"""A faint plane wave over the whole image."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Int
from pydantic import Field

from ..planter import Images, Masks, Planter, planters

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

    def paint(
        self,
        images: Images,
        objects: Masks | None,
        values: Int[np.ndarray, "n"],
        count: int,
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        n, _, height, width = images.shape
        angles = [math.pi * k / count for k in range(count)]
        down, across = (
            np.array([round(TURN * self.periods * part(angle) / side) for angle in angles])[values][:, None, None]
            for part, side in ((math.sin, height), (math.cos, width))
        )
        phase = rng.integers(0, TURN, n)[:, None, None]
        turned = (phase + down * np.arange(height)[:, None] + across * np.arange(width)) % TURN
        high = round(2 * self.amplitude * 255)  # from trough to crest
        wave = high * np.abs(2 * turned - TURN) // TURN
        waved = (images.astype(np.int64) * (255 - high) + 127) // 255 + wave[:, None]
        present = (values >= 0)[:, None, None, None]
        masks = np.broadcast_to(present, (n, 1, height, width)).copy()
        return np.where(present, waved, images).astype(np.uint8), masks
