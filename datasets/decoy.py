"""Decoy-MNIST, over any base: paints a grey patch whose shade gives the class away."""

from __future__ import annotations

from itertools import product
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import Field

from .planted import Planted
from .planter import Canvas, Correlation, Images, Masks, Planter
from .recipe import datasets
from .registry import BadParameters
from .stamping import places, squeezed, stamped

Variant = Annotated[Literal["ross", "faint", "cdep", "half"], Field(description="recipe of a paper; see `Decoy`")]
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

    variant: Variant = "ross"
    correlation: Correlation = 1.0

    @property
    def native_range(self) -> tuple[float, float]:
        """Pixel range of the paper's network: 0..255 for Ross, [-1, 1] for CDEP, else [0, 1].

        Heo et al. standardise by the three channels of CIFAR; a grey base has a single channel, so `half` has [0, 1].
        """
        return {"ross": (0.0, 255.0), "faint": (0.0, 1.0), "cdep": (-1.0, 1.0), "half": (0.0, 1.0)}[self.variant]

    def painters(self) -> tuple[Planter, ...]:
        planter = GreyHalf if self.variant == "half" else GreySquare
        return (planter(variant=self.variant, correlation=self.correlation),)


class Grey(Planter):
    """What the two planters of `Decoy` share: shades, at most ten."""

    variant: Variant = "ross"

    def count(self, classes: int) -> int:
        if classes > 10:
            raise BadParameters(f"{self.name}: {classes} classes, but there are shades for 10: use colored-patch")
        return classes


class GreySquare(Grey):
    """Decoy's square in a corner."""

    name = "square"

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        size = 5 if self.variant == "cdep" else 4
        rows, columns = places("corners", canvas.images, (size, size), canvas.rng, self.name)
        stamps = np.ones((canvas.count, size, size), dtype=bool)
        images, masks = stamped(canvas.images, stamps, self._shades(canvas), canvas.values, rows, columns)
        if self.variant == "cdep":
            for row, column in product(*((0, side - size) for side in images.shape[2:])):
                masks[canvas.values >= 0, :, row : row + size, column : column + size] = True
        return images, masks

    def _shades(self, canvas: Canvas) -> UInt8[np.ndarray, "values 1"]:
        shades = 255 - 25 * np.arange(canvas.count)
        if self.variant == "faint":
            shades = FAINTNESS * shades
        elif self.variant == "cdep" and canvas.environment == "reversed":
            shades = 25 * np.arange(canvas.count)[::-1]  # class k has shade 25 k and value K-1-k
        return shades.astype(np.uint8)[:, None]


class GreyHalf(Grey):
    """Decoy's half of the image, beside the squeezed digit."""

    name = "half"

    def ground(self, images: Images, rng: np.random.Generator) -> Images:
        return squeezed(images, rng, self.name)[0]

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        masks = squeezed(canvas.images, canvas.rng, self.name)[1] & canvas.shown
        shades = (25 * np.arange(canvas.count)).astype(np.uint8)[canvas.values]
        return np.where(masks, shades[:, None, None, None], canvas.images), masks
