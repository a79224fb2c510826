"""Checks of a base's pixels: images without content, parts of different scales, tests among training images."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped, UInt8

log = logging.getLogger(__name__)

LARGEST_RATIO = 4
"""By how much the largest pixel of a part may be larger than the largest of another."""

DARK = 31
"""The largest of 255 levels at which a person sees nothing; images of 16 shades reach 15 or 16."""


def require_pixels(file: str, parts: Mapping[str, UInt8[np.ndarray, "_ *shape"]]) -> None:
    """Refuses parts that are one image, nearly black, or scaled differently; warns of tests among training images.

    Args:
        parts: the training part, then the test part, by names for errors.

    Raises:
        ValueError: as the checks below say.
    """
    for name, images in parts.items():
        require_different_images(f"{file}: {name}", images)
    require_one_range(file, parts)
    require_bright(file, parts)
    warn_of_images_in_both(file, *parts.values())


def require_more_than_black_and_white(name: str, images: Shaped[np.ndarray, "n *shape"]) -> None:
    """Raises ValueError for uint8 images whose pixels are all 0 or 1: of 255 levels, these are both black."""
    if images.dtype == np.uint8 and images.max() == 1:
        raise ValueError(
            f"{name} is uint8 in 0..255, but its largest value is 1, nearly black: "
            "multiply by 255, or save floats in [0, 1]"
        )


def require_different_images(name: str, images: UInt8[np.ndarray, "n *shape"]) -> None:
    """Raises ValueError if all images are the same image: nothing is learned from them, or measured on them."""
    if (images == images[:1]).all():
        low, high = int(images.min()), int(images.max())
        found = f"every pixel is {low}" if low == high else f"all {len(images)} images are the same image"
        raise ValueError(f"{name}: {found}: was the array filled before it was saved? Save the images' own pixels")


def require_one_range(file: str, parts: Mapping[str, UInt8[np.ndarray, "n *shape"]]) -> None:
    """Raises ValueError if the largest pixel of one part is far larger than another's: they are scaled differently."""
    ranges = {name: (int(images.min()), int(images.max())) for name, images in parts.items()}
    (dark, low), (bright, high) = (pick(ranges.items(), key=lambda item: item[1][1]) for pick in (min, max))
    if high[1] > LARGEST_RATIO * low[1]:
        said = ", ".join(f"{name} ranges over [{least}, {most}]" for name, (least, most) in ranges.items())
        raise ValueError(
            f"{file}: of 255 levels {said}: networks would be trained on one scale and tested on another; "
            f"scale {dark} as {bright} is scaled, e.g. x * 255 / {low[1]} if {low[1]} is white"
        )


def require_bright(file: str, parts: Mapping[str, UInt8[np.ndarray, "n *shape"]]) -> None:
    """Raises ValueError if no part has a pixel brighter than `DARK`: 16 shades were saved as if they were 256."""
    if (brightest := max(int(images.max()) for images in parts.values())) <= DARK:
        raise ValueError(
            f"{file}: {', '.join(parts)} reach {brightest} of 255, nearly black in every image: are these shades in "
            f"0..{brightest}? Save x / {brightest} as floats in [0, 1]"
        )


def warn_of_images_in_both(
    name: str, train: UInt8[np.ndarray, "train *shape"], test: UInt8[np.ndarray, "test *shape"]
) -> None:
    """Warns of test images that are training images, pixel by pixel: accuracy on them is not of unseen images."""
    trained = {hash(image.tobytes()) for image in train}
    both = [position for position, image in enumerate(test) if hash(image.tobytes()) in trained]
    if both:
        log.warning(
            "%s",
            f"{name}: {len(both)} of {len(test)} test images are training images too, the first is test image "
            f"{both[0]}: accuracy on them is not that on unseen images; remove them from x_test",
        )
