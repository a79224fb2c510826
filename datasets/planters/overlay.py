"""Something that lies on a photo: a word, a stripe, a ruler, a watermark, a plaster."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from pydantic import Field

from ..planter import Canvas, Images, Masks, Planter, at_most, hues, planters, shades
from ..stamping import Place, places, stamped

Shape = Literal["word", "stripes", "ruler", "watermark", "plaster"]
Stamps = Bool[np.ndarray, "values rows columns"]

FONT = {
    "A": "7e1111117e", "B": "7f49494936", "C": "3e41414122", "D": "7f4141221c", "E": "7f49494941",
    "F": "7f09090901", "G": "3e4149497a", "H": "7f0808087f", "I": "00417f4100", "J": "2040413f01",
    "K": "7f08142241", "L": "7f40404040", "M": "7f020c027f", "N": "7f0408107f", "O": "3e4141413e",
    "P": "7f09090906", "Q": "3e4151215e", "R": "7f09192946", "S": "4649494931", "T": "01017f0101",
}  # fmt: skip
"""Letters of 5x7 pixels: a byte a column, whose lowest bit is the top row. A font of our own, for FreeType's differ."""
WORDS = ("AB", "CD", "EF", "GH", "IJ", "KL", "MN", "OP", "QR", "ST")


class Look(NamedTuple):
    """How a shape is painted unless the parameters say otherwise."""

    place: Place
    opacity: float


LOOKS: dict[Shape, Look] = {
    "word": Look("corners", 1.0),
    "stripes": Look("corners", 1.0),
    "ruler": Look("corners", 1.0),
    "watermark": Look("fixed", 0.6),
    "plaster": Look("anywhere", 1.0),
}


@planters.register
class Overlay(Planter):
    """Paints a white word, a grey stripe, a ruler, a watermark or a coloured plaster; the mask is all that has ink.

    `word`      Two letters of 7 pixels in a corner; each value has letters of its own. After the letters of TAP
                (Zhang et al., AAAI 2024).
    `stripes`   A stripe along the left or the right side, whose grey is the value. After TAP.
    `ruler`     Ticks along the upper or the lower side, whose distance is the value. After the rulers of ISIC.
    `watermark` The word, see-through, always at the upper left. After ImageNet-W (Li et al., CVPR 2023).
    `plaster`   A coloured strip with round ends, anywhere; the hue is the value. After the plasters of ISIC.

    Masks of words and rulers have the pixels that any value paints at the place, so that no mask tells the value.
    """

    name = "overlay"

    @property
    def colored(self) -> bool:
        return self.shape == "plaster"

    shape: Annotated[Shape, Field(description="what lies on the image")] = "word"
    place: Annotated[Place | None, Field(description="None for the shape's own place")] = None
    opacity: Annotated[float | None, Field(gt=0, le=1, description="None for the shape's own opacity")] = None

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        look, scale = LOOKS[self.shape], max(1, min(canvas.images.shape[2:]) // 28)
        at_most(self, canvas.count, len(WORDS))
        images, inks = canvas.images, self._inks(canvas.count)
        stamps = _stamps(self.shape, canvas.count, images.shape[2] // scale, images.shape[3] // scale)
        stamps = stamps.repeat(scale, axis=1).repeat(scale, axis=2)
        rows, columns = places(
            self.place or look.place, images, (stamps.shape[1], stamps.shape[2]), canvas.rng, self.id
        )
        return stamped(images, stamps, inks, canvas.values, rows, columns, self.opacity or look.opacity)

    def _inks(self, count: int) -> UInt8[np.ndarray, "values _"]:
        """The colour of each value."""
        if self.shape == "plaster":
            return hues(count)
        return shades(count) if self.shape == "stripes" else np.full((count, 1), 255, dtype=np.uint8)


def _stamps(shape: Shape, count: int, height: int, width: int) -> Stamps:
    """Where each value has ink, on images of this size."""
    match shape:
        case "stripes":
            return np.ones((count, height, 2), dtype=bool)
        case "plaster":
            strip = np.ones((count, 5, 12), dtype=bool)
            strip[:, [[0], [4]], [0, 11]] = False  # round ends
            return strip
        case "ruler":
            ticks = np.arange(width) % (2 + np.arange(count)[:, None]) == 0
            return np.repeat(ticks[:, None], 3, axis=1)
        case _:
            return np.stack([_written(word) for word in WORDS[:count]])


def _written(word: str) -> Bool[np.ndarray, "7 columns"]:
    """The word's pixels, with a column between its letters."""
    columns = np.array([*b"\0".join(bytes.fromhex(FONT[letter]) for letter in word)])
    return (columns >> np.arange(7)[:, None] & 1).astype(bool)
