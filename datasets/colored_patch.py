"""Colored-Patch, over any base: paints a square whose hue is the shortcut value."""

from __future__ import annotations

import colorsys
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import Environment
from .planted import Images, Masks, Planted, squares
from .recipe import datasets
from .registry import BadParameters


@datasets.register
class ColoredPatch(Planted):
    """Blends a square of the class's colour into the image; the mask is the square. Grey bases become RGB.

    Size, place, opacity, number of colours and correlation are parameters. Hues are evenly spaced at full saturation
    and value. `position="random"` draws a place for every input, uniformly. With fewer colours than classes, class k
    has colour k modulo the number of colours, and classes share colours.

    Our own dataset, after the patches of Ghitu et al. (TMLR 2025) and of ISIC. For licences of the bases see `Decoy`.
    """

    name = "colored-patch"

    size: Annotated[int, Field(ge=1, description="side of the square, pixels")] = 6
    position: Annotated[
        Literal["fixed", "random"], Field(description="upper left corner, or drawn for every input")
    ] = "fixed"
    colors: Annotated[int | None, Field(ge=2, description="number of colours; None for as many as classes")] = None
    opacity: Annotated[float, Field(gt=0, le=1, description="of the square, rounded to 255ths, at least 1/255")] = 1.0

    def class_shortcuts(self, classes: int) -> Int[np.ndarray, "classes"]:
        if self.colors is not None and self.colors > classes:
            raise BadParameters(f"{self.id}: {self.colors} colours for {classes} classes: ask for {classes} or fewer")
        return np.arange(classes) % (self.colors or classes)

    def looks(self, classes: int, environment: Environment) -> UInt8[np.ndarray, "colors 3"]:
        colors = self.colors or classes
        hues = [colorsys.hsv_to_rgb(k / colors, 1, 1) for k in range(colors)]
        return np.rint(np.array(hues) * 255).astype(np.uint8)

    def plant(
        self,
        images: Images,
        colors: UInt8[np.ndarray, "n 3"],
        present: Bool[np.ndarray, "n"],
        rng: np.random.Generator,
    ) -> tuple[UInt8[np.ndarray, "n 3 height width"], Masks]:
        n, channels, height, width = images.shape
        if self.size > min(height, width):
            raise BadParameters(
                f"{self.id}: a square of {self.size} does not fit into images of {height}x{width}: lower size"
            )
        last = (height - self.size, width - self.size) if self.position == "random" else (0, 0)
        rows, columns = (rng.integers(0, most + 1, n) for most in last)
        square = squares(rows, columns, self.size, present)
        inputs, masks = np.repeat(images, 3 // channels, axis=1), np.zeros((n, 1, height, width), dtype=bool)
        share = max(1, round(self.opacity * 255))  # integers give the same bits on every machine
        color = colors[present, None, None].astype(np.uint16)
        inputs[square] = (share * color + (255 - share) * inputs[square].astype(np.uint16) + 127) // 255
        masks[square] = True
        return inputs, masks
