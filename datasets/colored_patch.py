"""Colored-Patch, over any base: paints a square whose hue is the shortcut value."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import Environment
from .planted import Planted
from .planter import Images, Masks, as_rgb, hues
from .recipe import datasets
from .registry import BadParameters
from .stamping import places, squares


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
        return hues(self.colors or classes)

    def plant(
        self,
        images: Images,
        colors: UInt8[np.ndarray, "n 3"],
        present: Bool[np.ndarray, "n"],
        rng: np.random.Generator,
    ) -> tuple[UInt8[np.ndarray, "n 3 height width"], Masks]:
        place = "anywhere" if self.position == "random" else "fixed"
        rows, columns = places(place, images, (self.size, self.size), rng, self.id)
        return squares(as_rgb(images), self.size, colors, present, rows, columns, self.opacity)
