"""Decodes photos and their masks into tensors of one size, few at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped, UInt8
from PIL import Image, ImageOps
from torch import Tensor

from .files import stamp_of
from .on_disk import OnDisk
from .photo_files import Photo, content_of

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Whatever a file is called, nothing else is decoded: PIL runs other programs for some formats."""
KEPT_BYTES = 2**27
"""Decoded pixels that are kept in memory; photos beyond are decoded anew each time they are asked for."""
ORIENTATION, SIDEWAYS = 0x0112, (5, 6, 7, 8)
"""The tag of EXIF, and its values where width and height change places."""


class Photos:
    """The photos of a folder and their masks, (3, size, size) and (1, size, size).

    The shorter side is resized to `size`, bilinear as torchvision's `Resize`, and the centre is cropped; masks alike,
    by the nearest pixel. Colours are PIL's `convert("RGB")`, as torchvision's `ImageFolder` has them: transparency is
    dropped. A photo is turned as its EXIF says.

    Args:
        threshold: the grey level from which a mask's pixel counts; None for masks of two values, black and another.
        inverted: the masks show the object, and the shortcut is everything else.
    """

    def __init__(self, photos: Sequence[Photo], size: int, threshold: int | None, inverted: bool) -> None:
        self.photos, self.size, self.threshold, self.inverted = photos, size, threshold, inverted
        room = min(len(photos), KEPT_BYTES // (4 * size**2))
        self._images = _Kept(torch.empty(room, 3, size, size, dtype=torch.uint8))
        self._masks = _Kept(torch.empty(room, 1, size, size, dtype=torch.bool))

    def images(self, rows: Int[np.ndarray, "n"]) -> OnDisk:
        """The photos at these places."""
        contents = [content_of(stamp_of(self.photos[row].file)) for row in rows]
        return OnDisk(
            (len(rows), 3, self.size, self.size),
            torch.uint8,
            lambda asked: torch.stack([self._image(int(row)) for row in rows[asked.numpy()]]),
            _digest("images", self.size, contents),
            [str(self.photos[row].file) for row in rows],
        )

    def masks(self, rows: Int[np.ndarray, "n"]) -> OnDisk:
        """The masks of the photos at these places; empty where nothing is known."""
        said = [self._said(self.photos[row]) for row in rows]
        return OnDisk(
            (len(rows), 1, self.size, self.size),
            torch.bool,
            lambda asked: torch.stack([self._mask(int(row)) for row in rows[asked.numpy()]]),
            _digest("masks", self.size, self.threshold, self.inverted, said),
        )

    def _said(self, photo: Photo) -> str:
        """What a mask is made from."""
        return content_of(stamp_of(photo.mask)) if photo.mask else f"{photo.boxes} of {photo.file.name}"

    def _image(self, row: int) -> UInt8[Tensor, "3 size size"]:
        if (kept := self._images.get(row)) is not None:
            return kept
        file = self.photos[row].file
        colours = _rgb(decoded(file), file)
        pixels = np.asarray(fitted(colours, self.size, Image.Resampling.BILINEAR))
        return self._images.put(row, torch.from_numpy(pixels.transpose(2, 0, 1).copy()))

    def _mask(self, row: int) -> Bool[Tensor, "1 size size"]:
        photo = self.photos[row]
        if not photo.known:
            return torch.zeros(1, self.size, self.size, dtype=torch.bool)
        if (kept := self._masks.get(row)) is not None:
            return kept
        drawn, shown = self._drawn(photo)
        drawn = fitted(drawn, self.size, Image.Resampling.NEAREST, shown)
        return self._masks.put(row, torch.from_numpy((np.asarray(drawn) > 0) != self.inverted)[None])

    def _drawn(self, photo: Photo) -> tuple[Image.Image, tuple[int, int]]:
        """The mask of a photo, 0 and 255, in its own size; and the photo's width and height.

        Raises:
            ValueError: a mask of another shape than its photo.
        """
        with opened(photo.file) as image:
            raw, turn = image.size, image.getexif().get(ORIENTATION, 1)
        shown = raw[::-1] if turn in SIDEWAYS else raw
        if photo.mask is None:
            return Image.fromarray(_filled(photo, shown)), shown
        mask = self._read(photo.mask)
        if mask.size == raw != shown:  # drawn on the pixels as they lie in the file
            mask = _turned(mask, turn)
        if not _alike(mask.size, shown):
            raise ValueError(
                f"{photo.mask} is {mask.size[0]} x {mask.size[1]}, its photo {photo.file} {shown[0]} x {shown[1]} "
                "pixels: a mask may be smaller or larger than its photo, but not of another shape"
            )
        return mask, shown

    def _read(self, file: Path) -> Image.Image:
        """A mask as 0 and 255.

        Raises:
            ValueError: more than black and another value, and no threshold; or a shape in the transparency of black.
        """
        image = decoded(file)
        levels = _levels(image, file)
        if self.threshold is not None:
            return Image.fromarray(((levels >= self.threshold) * 255).astype(np.uint8))
        values = np.flatnonzero(np.bincount(levels.ravel(), minlength=256))
        if len(values) > 2 or (len(values) == 2 and values[0] != 0):
            shown = ", ".join(map(str, values[:5])) + (" ..." if len(values) > 5 else "")
            raise ValueError(
                f"{file} has the grey levels {shown}, expected black (0) and another: say from which grey level a "
                "pixel belongs to the mask, e.g. mask_threshold = 128"
                + (", or save its alpha channel alone, if that is the mask" if image.has_transparency_data else "")
            )
        if len(colours := _colours(image, levels > 0)) > 1:
            raise ValueError(
                f"{file} has the colours {', '.join(map(str, colours[:5]))}, expected black and another: save the mask "
                "of the shortcut alone in black and white, or say mask_threshold = 128 if all colours are the mask"
            )
        return Image.fromarray(((levels > 0) * 255).astype(np.uint8))


class _Kept:
    """The first tensors that are put in, by row, as long as there is room.

    The tensors lie in one block: thousands of small blocks would leave holes in the memory that is freed around them.
    """

    def __init__(self, block: Shaped[Tensor, "room *features"]) -> None:
        self.block = block
        self.places: dict[int, int] = {}

    def get(self, row: int) -> Shaped[Tensor, "*features"] | None:
        return self.block[self.places[row]] if row in self.places else None

    def put(self, row: int, value: Shaped[Tensor, "*features"]) -> Shaped[Tensor, "*features"]:
        """Returns the value."""
        if len(self.places) < len(self.block):
            place = self.places.setdefault(row, len(self.places))
            self.block[place] = value
        return value


def decoded(file: Path) -> Image.Image:
    """An image with its pixels, turned as its EXIF says."""
    with opened(file) as image:
        image.load()
        return ImageOps.exif_transpose(image)


@contextmanager
def opened(file: Path) -> Iterator[Image.Image]:
    """An image of which the header is read.

    Raises:
        ValueError: a file that is no image, or a damaged image; within the block, too.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        what = "is no image or a damaged one" if file.stat().st_size else "is empty"
        raise ValueError(f"{file} {what} ({error}): copy it again, or remove it") from error


def fitted(
    image: Image.Image, size: int, resampling: Image.Resampling, like: tuple[int, int] | None = None
) -> Image.Image:
    """An image with its shorter side resized to `size`, and its centre cropped to a square.

    Args:
        like: width and height of the photo that it is laid over, if it is a mask.
    """
    width, height = like or image.size
    if width <= height:
        width, height = size, max(size, int(size * height / width))
    else:
        width, height = max(size, int(size * width / height)), size
    if (width, height) != image.size:
        image = image.resize((width, height), resampling)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def _rgb(image: Image.Image, file: Path) -> Image.Image:
    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError(f"{file} has grey levels in {levels.min()}..{levels.max()}: save 8 or 16 bits")
        image = Image.fromarray((levels // 257).astype(np.uint8))
    if image.mode == "F":
        raise ValueError(f"{file} has floating-point pixels, whose white is unknown: save 8 or 16 bits")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _levels(image: Image.Image, file: Path) -> UInt8[np.ndarray, "height width"]:
    """The grey levels of a mask on black: of colours the brightest channel, of 16 bits the upper 8.

    Raises:
        ValueError: the colours of the visible pixels are black, and the shape is in the transparency alone.
    """
    if image.mode.startswith("I"):
        levels = np.ceil(np.asarray(image).astype(np.int64) / 257).astype(np.uint8)
    elif image.mode == "L":
        levels = np.asarray(image)
    else:
        levels = np.asarray(image.convert("RGBA"))[..., :3].max(-1)
    if (alpha := _alpha(image)) is None:
        return levels
    visible = np.ceil(levels.astype(np.float64) * alpha / 255).astype(np.uint8)
    hidden = levels if not alpha.any() else alpha  # all is transparent: a shape may be left in the colours
    if not visible.any() and hidden.min() < hidden.max():
        raise ValueError(
            f"{file} is black wherever it is opaque, and its shape is in its transparency: does the mask have the "
            "opaque pixels, or the transparent? Save it in grey, white where the mask is: "
            "Image.open(file).convert('RGBA').getchannel('A').save(file) of PIL, if the opaque pixels are the mask"
        )
    return visible


def _colours(image: Image.Image, visible: Bool[np.ndarray, "height width"]) -> list[tuple[int, ...]]:
    """The different colours of the visible pixels, red, green and blue; none of a grey image."""
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return []
    colours = np.asarray(image.convert("RGB"))[visible].astype(np.int64) @ [1 << 16, 1 << 8, 1]
    return [(colour >> 16, colour >> 8 & 255, colour & 255) for colour in np.unique(colours).tolist()]


def _alpha(image: Image.Image) -> UInt8[np.ndarray, "height width"] | None:
    """How opaque each pixel is, 0 to 255; None for an image without transparency."""
    if not image.has_transparency_data:
        return None
    if image.mode.startswith("I"):  # a grey level that is transparent
        return np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8)
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _turned(image: Image.Image, turn: int) -> Image.Image:
    """An image without a tag, turned as a photo's tag says."""
    image.getexif()[ORIENTATION] = turn
    return ImageOps.exif_transpose(image)


def _alike(mask: tuple[int, int], photo: tuple[int, int]) -> bool:
    """Whether sizes are of one shape, up to the rounding of half a pixel."""
    width, height = photo
    expected = mask[0] * height / width
    return abs(mask[1] - expected) <= max(1.0, height / width)


def _filled(photo: Photo, size: tuple[int, int]) -> UInt8[np.ndarray, "height width"]:
    """A mask of boxes, 0 and 255.

    Raises:
        ValueError: a box that does not lie in the photo.
    """
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in photo.boxes or ():
        if x1 > width or y1 > height:
            raise ValueError(
                f"{photo.file} is {width} x {height} pixels, but has a box {x0:g} {y0:g} {x1:g} {y1:g} (x0 y0 x1 y1): "
                "boxes are in pixels of the photo as it is shown"
            )
        mask[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = 255
    return mask


def _digest(*said: object) -> str:
    return hashlib.sha256(repr(said).encode()).hexdigest()
