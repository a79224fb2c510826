"""A texture behind the object."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import UInt8

from ..base import generator
from ..planter import Canvas, Images, Masks, Planter, at_most, planters

SIDE = 64
"""Of a texture, whose edges fit each other."""
STEP, CONTRAST = 10, 100
"""Greys from one texture's darker pixels to the next texture's, and from its darker to its brighter pixels."""


@planters.register
class Background(Planter):
    """Cuts the object out and puts it on a texture, which is the value; the mask is all of the ground.

    After Waterbirds (Sagawa et al. 2020), with textures that need no download: bars, checks, bricks, dots, noise, the
    next always brighter, as sand is brighter than water. The place within the texture is drawn for every input,
    the same for every value.
    """

    name = "background"
    needs_object: ClassVar[bool] = True

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        assert canvas.objects is not None
        at_most(self, canvas.count, len(TEXTURES))
        n, _, height, width = canvas.images.shape
        top, left = canvas.rng.integers(0, SIDE, (2, n))
        rows, columns = (top[:, None] + np.arange(height)) % SIDE, (left[:, None] + np.arange(width)) % SIDE
        behind = TEXTURES[canvas.values[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]
        masks = ~canvas.objects & canvas.shown
        return np.where(masks, behind, canvas.images), masks


def _textures() -> UInt8[np.ndarray, "values side side"]:
    """Ten textures of integers alone, so that every machine gives the same bits."""
    y, x = np.indices((SIDE, SIDE))
    brick = (y % 8 == 0) | ((x + 8 * (y // 8 % 2)) % 16 == 0)
    dots = ((y % 8 - 4) ** 2 + (x % 8 - 4) ** 2) < 6
    noise = generator(0, "textures").integers(0, 2, (SIDE, SIDE)).astype(bool)
    bits = [
        y // 2 % 2 == 0,
        x // 2 % 2 == 0,
        (y + x) // 4 % 2 == 0,
        (y - x) // 4 % 2 == 0,
        (y // 4 + x // 4) % 2 == 0,
        brick,
        dots,
        noise,
        y // 8 % 2 == 0,
        x // 8 % 2 == 0,
    ]
    brightness = STEP * np.arange(len(bits))[:, None, None]
    return (brightness + CONTRAST * np.array(bits)).astype(np.uint8)


TEXTURES = _textures()
