"""A coloured square over any base: how visible, how large, where, and how reliable are all parameters."""

from __future__ import annotations

import colorsys
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import Environment, datasets
from .planted import Images, Masks, Planted, squares
from .registry import BadParameters


@datasets.register
class ColoredPatch(Planted):
    """A square of the class's colour, blended into the image; grey bases become RGB. The mask is the square.

    Hues are evenly spaced at full saturation and value. `random` places the square uniformly, anew for every input.
    With fewer colours than classes, class k carries colour k modulo their number, and classes share colours.
    Ours, after the patches of Ghitu et al. (TMLR 2025) and ISIC's. Licences are the bases': see `Decoy`.
    """

    name = "colored-patch"

    size: Annotated[int, Field(ge=1, description="side of the square, pixels")] = 6
    position: Annotated[Literal["fixed", "random"], Field(description="upper left corner, or anywhere")] = "fixed"
    colors: Annotated[int | None, Field(ge=2, description="number of colours; None for one per class")] = None
    opacity: Annotated[float, Field(gt=0, le=1, description="of the square, rounded to 255ths, at least one")] = 1.0

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
            raise BadParameters(f"{self.id}: a square of {self.size} does not fit into images of {height}x{width}")
        last = (height - self.size, width - self.size) if self.position == "random" else (0, 0)
        rows, columns = (rng.integers(0, most + 1, n) for most in last)
        square = squares(rows, columns, self.size, present)
        inputs, masks = np.repeat(images, 3 // channels, axis=1), np.zeros((n, 1, height, width), dtype=bool)
        share = max(1, round(self.opacity * 255))  # in integers, so that the bits are the same everywhere
        color = colors[present, None, None].astype(np.uint16)
        inputs[square] = (share * color + (255 - share) * inputs[square].astype(np.uint16) + 127) // 255
        masks[square] = True
        return inputs, masks
