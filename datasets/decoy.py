"""Decoy-MNIST, over any base: a grey patch whose shade gives the class away."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field

from .base import Environment
from .planted import Images, Masks, Planted, squares
from .recipe import datasets
from .registry import BadParameters

FAINTNESS = 0.25
"""Brightness of `faint` shades beside Ross's."""


@datasets.register
class Decoy(Planted):
    """A constant grey patch, the same on all channels, in a place that does not depend on the class.

    `ross`  4x4 in one of the four corners, by two fair coins; shade 255 - 25 value; the mask is that square.
            Ross, Hughes & Doshi-Velez, IJCAI 2017; their test set is `random`. The typology of Friedrich et al. (Nature
            MI 2023) uses the same.
    `faint` the same with shades 0.25 (255 - 25 value), rounded down. Ghitu et al. (TMLR 2025) took theirs ready-made
            from a course, which calls its squares faint and prints no shades: a quarter is our estimate, which
            docs/findings.md explains. Their test set is nearly `conflict`.
    `cdep`  5x5 in one of the four corners; shade 255 - 25 value; the mask is all four corners, for every image.
            Rieger et al., ICML 2020; their test set is `reversed`, where class k has their shade 25 k: 30 below that of
            the value K-1-k which it is recorded as, and for k = 5 only 5 below its own class's.
    `half`  the image squeezed to half its height and put into the top or bottom half by a coin; the other half is 25
            value, and the mask is that half; in `clean` it is black. Heo et al., NeurIPS 2023; their validation and
            test sets are `random`. Squeezed by the mean of two rows, rounded half up.

    At most 10 classes: an eleventh has no shade. Licences are the bases': digits CC BY 4.0 (UCI), MNIST CC BY-SA 3.0,
    Fashion-MNIST MIT, CIFAR-10 none stated.
    """

    name = "decoy"

    variant: Annotated[Literal["ross", "faint", "cdep", "half"], Field(description="whose recipe; see the class")] = (
        "ross"
    )

    @property
    def native_range(self) -> tuple[float, float]:
        """Ross feeds 0..255 and CDEP [-1, 1]; Heo standardises by CIFAR's three channels, which a grey base has not."""
        return {"ross": (0.0, 255.0), "faint": (0.0, 1.0), "cdep": (-1.0, 1.0), "half": (0.0, 1.0)}[self.variant]

    def looks(self, classes: int, environment: Environment) -> UInt8[np.ndarray, "classes 1"]:
        if classes > 10:
            raise BadParameters(f"{self.id}: {classes} classes, but there are shades for 10: use colored-patch")
        values = np.arange(classes)
        match self.variant, environment:
            case "half", _:
                shades = 25 * values
            case "cdep", "reversed":
                shades = 25 * (classes - 1 - values)  # 25 k for class k, which says K-1-k
            case "faint", _:
                shades = FAINTNESS * (255 - 25 * values)
            case _:
                shades = 255 - 25 * values
        return shades.astype(np.uint8)[:, None]

    def plant(
        self,
        images: Images,
        colors: UInt8[np.ndarray, "n 1"],
        present: Bool[np.ndarray, "n"],
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        if self.variant == "half":
            return self._fill_half(images, colors, present, rng)
        size = 5 if self.variant == "cdep" else 4
        height, width = images.shape[2:]
        if min(height, width) < 2 * size:
            raise BadParameters(f"{self.id}: images of {height}x{width} are too small for two {size}x{size} corners")
        coins = rng.integers(0, 2, (2, len(images)))
        square = squares(coins[0] * (height - size), coins[1] * (width - size), size, present)
        inputs, masks = images.copy(), np.zeros((len(images), 1, height, width), dtype=bool)
        inputs[square] = colors[present, None, None]
        if self.variant == "cdep":
            for row, column in product((0, height - size), (0, width - size)):
                masks[present, :, row : row + size, column : column + size] = True
        else:
            masks[square] = True
        return inputs, masks

    def _fill_half(
        self,
        images: Images,
        colors: UInt8[np.ndarray, "n 1"],
        present: Bool[np.ndarray, "n"],
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        n, _, height, width = images.shape
        if height % 2:
            raise BadParameters(f"{self.id}: images of height {height} have no halves: an even height is needed")
        filled_below = rng.integers(0, 2, n).astype(bool)[:, None, None, None]
        pairs = images.astype(np.uint16)
        squeezed = ((pairs[:, :, ::2] + pairs[:, :, 1::2] + 1) // 2).astype(np.uint8)
        fill = np.where(present[:, None], colors, 0).astype(np.uint8)[:, :, None, None]
        halves = np.where(filled_below, squeezed, fill), np.where(filled_below, fill, squeezed)
        filled = (np.arange(height)[:, None] >= height // 2) == filled_below
        return np.concatenate(halves, axis=2), np.repeat(filled & present[:, None, None, None], width, axis=3)
