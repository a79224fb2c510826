"""What planters share: places, stamps that are painted there, halves."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8

from .planter import Images, Masks
from .registry import BadParameters

Place = Literal["fixed", "corners", "anywhere"]


def places(
    place: Place, images: Images, size: tuple[int, int], rng: np.random.Generator, planter: str
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Rows and columns of the upper left pixels of stamps.

    Args:
        place: the upper left corner, a corner by two fair coins, or anywhere, uniformly.
        size: height and width of a stamp.
        planter: who asks, for errors.

    Raises:
        BadParameters: a stamp does not fit, or corners overlap.
    """
    n, _, *sides = images.shape
    room = [side - own for side, own in zip(sides, size, strict=True)]
    overlap = place == "corners" and any(0 < free < own for free, own in zip(room, size, strict=True))
    if min(room) < 0 or overlap:
        raise BadParameters(
            f"{planter}: {size[0]}x{size[1]} pixels do not fit into {'corners' if overlap else 'images'} of "
            f"{sides[0]}x{sides[1]}: lower its size, take another place, or a larger base"
        )
    match place:
        case "fixed":
            return np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        case "corners":
            return rng.integers(0, 2, n) * room[0], rng.integers(0, 2, n) * room[1]
        case "anywhere":
            return rng.integers(0, room[0] + 1, n), rng.integers(0, room[1] + 1, n)


def squeezed(images: Images, rng: np.random.Generator, planter: str) -> tuple[Images, Masks]:
    """Images in half their height, in the upper or the lower half by a fair coin; and where the other half, black, is.

    Raises:
        BadParameters: images of an odd height.
    """
    n, _, height, width = images.shape
    if height % 2:
        raise BadParameters(f"{planter}: images of height {height} have no halves: an even height is needed")
    pairs = images.astype(np.uint16)
    half = ((pairs[:, :, ::2] + pairs[:, :, 1::2] + 1) // 2).astype(np.uint8)
    other = (np.arange(height)[:, None] >= height // 2) == rng.integers(0, 2, n).astype(bool)[:, None, None, None]
    other = np.repeat(other, width, axis=3)
    return np.where(other, 0, np.concatenate([half, half], axis=2)).astype(np.uint8), other


def stamped(
    images: Images,
    stamps: Bool[np.ndarray, "values rows columns"],
    colors: UInt8[np.ndarray, "values #channels"],
    values: Int[np.ndarray, "n"],
    rows: Int[np.ndarray, "n"],
    columns: Int[np.ndarray, "n"],
    opacity: float = 1.0,
) -> tuple[Images, Masks]:
    """Blends into each image the stamp of its value, in the value's colour; masks are where any value has ink.

    So a mask says nothing about the value: where another word has ink and this word has none, the gap is informative.
    """
    chosen = np.flatnonzero(values >= 0)
    down = rows[chosen, None, None] + np.arange(stamps.shape[1])[:, None]
    across = columns[chosen, None, None] + np.arange(stamps.shape[2])
    region = chosen[:, None, None], slice(None), down, across
    painted, masks = images.copy(), np.zeros((len(images), 1, *images.shape[2:]), dtype=bool)
    shown, color = stamps[values[chosen]][..., None], colors[values[chosen], None, None]
    painted[region] = np.where(shown, blended(painted[region], color, opacity), painted[region])
    masks[region] = np.any(stamps, axis=0)[..., None]
    return painted, masks


def blended(
    below: UInt8[np.ndarray, "*shape channels"], color: UInt8[np.ndarray, "*#shape #channels"], opacity: float
) -> UInt8[np.ndarray, "*shape channels"]:
    """A colour over an image; the opacity in whole 255ths, at least one, so that every machine gives the same bits."""
    share = max(1, round(opacity * 255))
    return ((share * color.astype(np.uint16) + (255 - share) * below.astype(np.uint16) + 127) // 255).astype(np.uint8)
