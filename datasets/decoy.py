"""Decoy-MNIST, over any base: paints a grey patch whose shade gives the class away."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field

from .base import Environment
from .planted import Planted
from .planter import Images, Masks
from .recipe import datasets
from .registry import BadParameters
from .stamping import places, squares, squeezed

FAINTNESS = 0.25
"""Shades of `faint`, as a share of the shades of `ross`."""


@datasets.register
class Decoy(Planted):
    """Paints a constant grey patch, the same on all channels, in a place that is independent of the class.

    `ross`  Square: 4x4 in one of the four corners, drawn by two fair coins. Shade: 255 - 25 value. Mask: the square.
            Source: Ross, Hughes & Doshi-Velez, IJCAI 2017, whose test set is `random`. The typology of Friedrich et al.
            (Nature MI 2023) uses the same recipe.
    `faint` Square and mask: as in `ross`. Shade: 0.25 (255 - 25 value), rounded down. Source: Ghitu et al. (TMLR 2025),
            whose test set is nearly `conflict`. Their images come from a course that calls the squares faint and prints
            no shades; a quarter is our estimate, explained in docs/findings.md.
    `cdep`  Square: 5x5 in one of the four corners. Shade: 255 - 25 value. Mask: all four corners, for every image.
            Source: Rieger et al., ICML 2020, whose test set is `reversed`. There class k has their shade 25 k and is
            recorded as value K-1-k. Of 10 classes, 25 k is 30 below the training shade of value K-1-k; for k = 5 it is
            only 5 below the training shade of class k itself.
    `half`  The image is squeezed to half its height (mean of two rows, rounded half up), and a coin puts it into the
            top or the bottom half. Shade: 25 value in the other half, black in `clean`. Mask: the half with the shade.
            Source: Heo et al., NeurIPS 2023, whose validation and test sets are `random`.

    At most 10 classes: an eleventh has no shade. Licences of the bases: digits CC BY 4.0 (UCI), MNIST CC BY-SA 3.0,
    Fashion-MNIST MIT, CIFAR-10 none stated.
    """

    name = "decoy"

    variant: Annotated[
        Literal["ross", "faint", "cdep", "half"], Field(description="recipe of a paper; see `Decoy`")
    ] = "ross"

    @property
    def native_range(self) -> tuple[float, float]:
        """Pixel range of the paper's network: 0..255 for Ross, [-1, 1] for CDEP, else [0, 1].

        Heo et al. standardise by the three channels of CIFAR; a grey base has a single channel, so `half` has [0, 1].
        """
        return {"ross": (0.0, 255.0), "faint": (0.0, 1.0), "cdep": (-1.0, 1.0), "half": (0.0, 1.0)}[self.variant]

    def looks(self, classes: int, environment: Environment) -> UInt8[np.ndarray, "classes 1"]:
        if classes > 10:
            raise BadParameters(f"{self.id}: {classes} classes, but there are shades for 10: use colored-patch")
        values = np.arange(classes)
        match self.variant, environment:
            case "half", _:
                shades = 25 * values
            case "cdep", "reversed":
                shades = 25 * (classes - 1 - values)  # class k has shade 25 k and value K-1-k
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
        rows, columns = places("corners", images, (size, size), rng, self.id)
        inputs, masks = squares(images, size, colors, present, rows, columns)
        if self.variant == "cdep":
            for row, column in product(*((0, side - size) for side in images.shape[2:])):
                masks[present, :, row : row + size, column : column + size] = True
        return inputs, masks

    def _fill_half(
        self,
        images: Images,
        colors: UInt8[np.ndarray, "n 1"],
        present: Bool[np.ndarray, "n"],
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        halves, other = squeezed(images, rng, self.id)
        masks = other & present[:, None, None, None]
        return np.where(masks, colors[:, :, None, None], halves), masks
