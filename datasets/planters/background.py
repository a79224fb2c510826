"""A texture or a photo behind the object."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, field_validator

from ..base import generator
from ..planter import Canvas, Images, Masks, Planter, as_rgb, at_most, planters
from ..registry import BadParameters
from ..sources import files, known, load

OWN = "textures"

SIDE = 64
"""Of a texture, whose edges fit each other."""
STEP, CONTRAST = 10, 100
"""Greys from one texture's darker pixels to the next texture's, and from its darker to its brighter pixels."""


@planters.register
class Background(Planter):
    """Cuts the object out and puts it on a scene, whose kind is the value; the mask is all of the ground.

    After Waterbirds (Sagawa et al. 2020), with textures that need no download: bars, checks, bricks, dots, noise, the
    next always brighter, as sand is brighter than water. With `scenes` a base of photos, the kinds are its classes:
    a training photo of the class is drawn for every input. Photo and place are drawn in the same way for every value.
    Photos of CIFAR-10 are a control for an mlp, which hardly uses them (docs/data.md).
    """

    name = "background"
    needs_object: ClassVar[bool] = True

    scenes: Annotated[str, Field(description="textures, or a base of photos: cifar10, npz:PATH")] = OWN

    @field_validator("scenes")
    @classmethod
    def _known(cls, scenes: str) -> str:
        return scenes if scenes == OWN else known(scenes)

    def shown(self) -> dict[str, Any]:
        """Of the path of photos only the file's stem, as of a base's."""
        kind, _, path = self.scenes.partition(":")
        return super().shown() | ({"scenes": f"{kind}:{Path(path).stem}"} if path else {})

    @property
    def colored(self) -> bool:
        return self.scenes != OWN

    def files(self) -> tuple[Path, ...]:
        return () if self.scenes == OWN else files(self.scenes)

    def require(self) -> None:
        if self.scenes != OWN:
            load(self.scenes)

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        assert canvas.objects is not None
        masks = ~canvas.objects & canvas.shown
        behind = self._textures(canvas) if self.scenes == OWN else self._photos(canvas)
        return np.where(masks, behind, canvas.images), masks

    def _textures(self, canvas: Canvas) -> Images:
        at_most(self, canvas.count, len(TEXTURES))
        n, _, height, width = canvas.images.shape
        top, left = canvas.rng.integers(0, SIDE, (2, n))
        rows, columns = (top[:, None] + np.arange(height)) % SIDE, (left[:, None] + np.arange(width)) % SIDE
        return TEXTURES[canvas.values[:, None, None], rows[:, :, None], columns[:, None, :]][:, None]

    def _photos(self, canvas: Canvas) -> Images:
        base = load(self.scenes)
        photos, (n, _, height, width) = as_rgb(base.train_inputs), canvas.images.shape
        down, across = photos.shape[2] - height, photos.shape[3] - width
        if min(down, across) < 0 or canvas.count > base.classes:
            raise BadParameters(
                f"{self.id}: {base.classes} classes of photos of {photos.shape[2]}x{photos.shape[3]} pixels for "
                f"{canvas.count} values on {height}x{width}: take other photos, or fewer values"
            )
        drawn = canvas.rng.integers(0, 2**31, n)
        top, left = canvas.rng.integers(0, down + 1, n), canvas.rng.integers(0, across + 1, n)
        kinds = [np.flatnonzero(base.train_labels == kind) for kind in range(canvas.count)]
        chosen = np.array(
            [kinds[value][place % len(kinds[value])] for value, place in zip(canvas.values, drawn, strict=True)]
        )
        rows, columns = top[:, None] + np.arange(height), left[:, None] + np.arange(width)
        return photos[chosen[:, None, None], :, rows[:, :, None], columns[:, None, :]].transpose(0, 3, 1, 2)


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
