"""Reads a base from an `.npz`: what the headers say is checked before an array is inflated, then the values."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from math import isqrt, prod
from pathlib import Path
from tokenize import TokenError
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from .labels import require_classes, require_label_type
from .pixels import require_more_than_black_and_white, require_pixels
from .shortcuts import Masks, Values, as_masks, require_mask_type, require_shortcut_type, require_shortcuts

PARTS = ("train", "test")
ARRAYS = ("x_train", "y_train", "x_test", "y_test")
OBSERVED = tuple(f"{kind}_{part}" for kind in ("masks", "shortcuts") for part in PARTS)
"""Arrays that the dataset `observed` reads beside the images and labels."""
_TYPES = {
    "x": "one array of equally large uint8 images",
    "y": "np.int64 class numbers",
    "m": "masks as np.bool_",
    "s": "np.int64 shortcut values",
}
"""What an array holds, by the first letter of its name."""
UNREADABLE = (OSError, EOFError, ValueError, TypeError, SyntaxError, TokenError, RuntimeError, zlib.error)
"""What NumPy and zipfile raise where bytes are damaged: a header is parsed as Python, encryption is a RuntimeError."""


class Header(NamedTuple):
    """What an array's header says."""

    shape: tuple[int, ...]
    dtype: np.dtype


class Arrays(NamedTuple):
    """A base's images and labels, and its number of classes."""

    train_inputs: UInt8[np.ndarray, "train channels height width"]
    train_labels: Int[np.ndarray, "train"]
    test_inputs: UInt8[np.ndarray, "test channels height width"]
    test_labels: Int[np.ndarray, "test"]
    classes: int


class Shortcuts(NamedTuple):
    """Where the shortcuts of a part are, and their values; an image without a shortcut has an empty mask and -1."""

    masks: Masks
    values: Values


def read_npz(path: Path) -> Arrays:
    """Reads `x_train`, `y_train`, `x_test` and `y_test`; images become uint8, channels first.

    Raises:
        ValueError: a file or an array that does not fit; the message names both, the value, and the way out.
    """
    return _arrays(path, _values(path, ARRAYS))


def read_observed(path: Path) -> tuple[Arrays, Shortcuts, Shortcuts]:
    """Reads the arrays of `read_npz`, and the masks and shortcut values of training and test images.

    Raises:
        ValueError: a file or an array that does not fit; the message names both, the value, and the way out.
    """
    values = _values(path, (*ARRAYS, *OBSERVED))
    arrays, shortcuts = _arrays(path, values), []
    for part in PARTS:
        masks = as_masks(values[f"masks_{part}"], f"{path}: masks_{part}")
        shown = values[f"shortcuts_{part}"].astype(np.int64)
        require_shortcuts(f"{path}: shortcuts_{part}", shown, masks)
        shortcuts.append(Shortcuts(masks, shown))
    return arrays, *shortcuts


def _values(path: Path, wanted: tuple[str, ...]) -> dict[str, Shaped[np.ndarray, "n *shape"]]:
    """The values of the wanted arrays, once all of their headers fit."""
    try:
        with zipfile.ZipFile(path) as archive:
            _require_arrays(path, archive.namelist(), wanted)
            _require_fitting(path, {name: _header(archive, path, name) for name in wanted})
            return {name: _array(archive, path, name) for name in wanted}
    except (zipfile.BadZipFile, struct.error, NotImplementedError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} {_no_archive(path, error)}") from error


def _arrays(path: Path, values: dict[str, Shaped[np.ndarray, "n *shape"]]) -> Arrays:
    images = [_as_uint8(values[f"x_{part}"], f"{path}: x_{part}") for part in PARTS]
    for part in PARTS:
        require_more_than_black_and_white(f"{path}: x_{part}", values[f"x_{part}"])
    classes = require_classes(str(path), {f"y_{part}": values[f"y_{part}"] for part in PARTS})
    require_pixels(str(path), {f"x_{part}": of_part for part, of_part in zip(PARTS, images, strict=True)})
    labels = [values[f"y_{part}"].astype(np.int64) for part in PARTS]
    return Arrays(images[0], labels[0], images[1], labels[1], classes)


def _no_archive(path: Path, error: Exception) -> str:
    """Says what a file is that is no archive of arrays."""
    with path.open("rb") as file:
        begin = file.read(6)
    save = "save four arrays with np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)"
    match begin:
        case b"":
            return f"is empty: {save}"
        case b"\x93NUMPY":
            return f"is a single array as np.save writes it (.npy): {save}"
        case _ if begin.startswith(b"PK"):
            return f"is truncated or damaged ({error}): copy or write it again"
        case _ if begin.startswith(b"\x80"):
            return f"is a pickle, which is never opened because it may run code: {save}"
        case _:
            return f"is no npz (it begins with {begin!r}): {save}"


def _require_arrays(path: Path, members: list[str], wanted: tuple[str, ...]) -> None:
    if unsuffixed := [name for name in members if name in wanted]:
        raise ValueError(
            f"{path} has members {', '.join(unsuffixed)} without the ending .npy, so they are no arrays of an npz: "
            "write the file by np.savez"
        )
    names = [name.removesuffix(".npy") for name in members]
    absent = [name for name in wanted if name not in names]
    if absent:
        raise ValueError(
            f"{path} has no {', '.join(absent)}; it has {', '.join(names) or 'no array'}: add what is missing"
        )
    repeated = [name for name in wanted if names.count(name) > 1]
    if repeated:
        raise ValueError(f"{path} has {', '.join(repeated)} twice: save each array once")
    if own := [name for name in names if name in OBSERVED and name not in wanted]:
        raise ValueError(
            f"{path} has {', '.join(own)}, which nothing would use: a dataset that plants a shortcut draws masks and "
            f'values itself. Take dataset = {{ name = "observed", file = "{path.name}" }}, or remove the arrays'
        )
    if unknown := [name for name in names if name not in wanted]:
        raise ValueError(
            f"{path} has {', '.join(unknown)}, which nothing would use; known are {', '.join((*ARRAYS, *OBSERVED))}: "
            "rename or remove the array"
        )


def _header(archive: zipfile.ZipFile, path: Path, name: str) -> Header:
    """Reads an array's header, and compares the bytes that it announces with the bytes that the archive has.

    Raises:
        ValueError: a header that does not read, Python objects, or another number of bytes.
    """
    member = f"{name}.npy"
    try:
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, _, dtype = read.get(version, read[2, 0])(file)
            begin = file.tell()
    except UNREADABLE as error:
        raise ValueError(f"{path}: {name} is no readable array ({error}): write the file again by np.savez") from error
    if dtype.hasobject:
        raise ValueError(f"{path}: {name} holds Python objects, which are never opened: save {_TYPES[name[0]]}")
    announced, found = prod(shape) * dtype.itemsize, archive.getinfo(member).file_size - begin
    if min(shape, default=0) < 0 or announced != found:
        raise ValueError(
            f"{path}: {name} is {dtype} of shape {shape}, {announced} bytes, but {found} bytes are there: "
            "the file is damaged, write it again"
        )
    return Header(tuple(shape), dtype)


def _require_fitting(path: Path, headers: dict[str, Header]) -> None:
    """Refuses arrays whose headers do not fit, alone or together, or do not fit into this machine's memory."""
    for part in PARTS:
        images, labels = headers[f"x_{part}"], headers[f"y_{part}"]
        _require_image_type(f"{path}: x_{part}", images)
        require_label_type(f"{path}: y_{part}", labels.shape, labels.dtype, images.shape[0])
        if (masks := headers.get(f"masks_{part}")) is not None:
            require_mask_type(f"{path}: masks_{part}", masks.shape, masks.dtype, images.shape)
            values = headers[f"shortcuts_{part}"]
            require_shortcut_type(f"{path}: shortcuts_{part}", values.shape, values.dtype, images.shape[0])
    train, test = (_with_channels(headers[f"x_{part}"].shape) for part in PARTS)
    if train[1:] != test[1:]:
        raise ValueError(
            f"{path}: x_train and x_test differ in shape: (height, width, channels) is {train[1:]} and {test[1:]}; "
            "crop, resize or convert them alike"
        )
    _require_memory(path, headers)


def _require_memory(path: Path, headers: dict[str, Header]) -> None:
    """Refuses arrays that are larger than this machine's memory: a small file of zeros may inflate to any size."""
    sizes = {name: prod(shape) * dtype.itemsize for name, (shape, dtype) in headers.items()}
    largest, total, memory = max(sizes, key=sizes.__getitem__), sum(sizes.values()), memory_bytes()
    if total > memory:
        raise ValueError(
            f"{path}: the arrays take {total / 1e9:.3g} GB, of these {largest} {sizes[largest] / 1e9:.3g} GB, "
            f"and this machine has {memory / 1e9:.3g} GB of memory: save fewer or smaller images, as uint8"
        )


def memory_bytes() -> int:
    """This machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape, 1) if len(shape) == 3 else shape


def _require_image_type(name: str, header: Header) -> None:
    shape, dtype = header
    found = f"{name} has shape {shape}, expected (n, height, width) or (n, height, width, 1 or 3)"
    if 0 in shape:
        raise ValueError(f"{found}: it has no pixels, give one image or more")
    if len(shape) == 2:
        side = isqrt(shape[1])
        hint = f", e.g. x.reshape(-1, {side}, {side})" if side * side == shape[1] else ""
        raise ValueError(f"{found}: reshape flat images{hint}")
    if len(shape) == 4 and shape[3] not in (1, 3):
        if shape[1] in (1, 3):
            raise ValueError(f"{found}: channels are first, transpose them to the end: x.transpose(0, 2, 3, 1)")
        hint = {4: "drop the alpha channel, x[..., :3]", 2: "drop the alpha channel, x[..., 0]"}.get(shape[3])
        raise ValueError(f"{found}: {hint or f'{shape[3]} channels are not images in grey or colour'}")
    if len(shape) not in (3, 4):
        raise ValueError(f"{found}: reshape it")
    if dtype != np.uint8 and dtype.kind != "f":
        if dtype.kind == "b":
            hint = "convert them by x.astype(np.uint8) * 255"
        elif dtype.kind in "iu":
            hint = "if values are in 0..255, convert them by x.astype(np.uint8); 16-bit images, divide by 257 first"
        else:
            hint = "save the images' pixels"
        raise ValueError(f"{name} is {dtype}, expected uint8 in 0..255 or floats in [0, 1]: {hint}")


def _array(archive: zipfile.ZipFile, path: Path, name: str) -> Shaped[np.ndarray, "n *shape"]:
    try:
        with archive.open(f"{name}.npy") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            file.read()  # the archive compares its checksum at the end
            return array
    except (zipfile.BadZipFile, *UNREADABLE) as error:
        raise ValueError(f"{path}: {name} is truncated or damaged ({error}): copy or write it again") from error
    except MemoryError as error:
        raise ValueError(f"{path}: {name} does not fit into memory: save fewer or smaller images, as uint8") from error


def _as_uint8(array: Shaped[np.ndarray, "n height width *channels"], name: str) -> UInt8[np.ndarray, "n c h w"]:
    array = array.reshape(_with_channels(array.shape))
    if array.dtype != np.uint8:
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # written so that NaN fails too
            raise ValueError(
                f"{name} ranges over [{low:.9g}, {high:.9g}], expected floats in [0, 1]: {_way_into_range(array)}"
            )
        if 0 < high <= 1 / 255:
            raise ValueError(
                f"{name} ranges over [{low:g}, {high:g}], and would be black or nearly: was it divided by 255 twice?"
            )
        array = np.rint(array.astype(np.promote_types(array.dtype, np.float32)) * 255).astype(np.uint8)
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def _way_into_range(array: Shaped[np.ndarray, "n height width channels"]) -> str:
    finite = np.isfinite(array)
    if not finite.all():
        first = int(np.flatnonzero(~finite.all(axis=(1, 2, 3)))[0])
        images = int((~finite).any(axis=(1, 2, 3)).sum())
        return f"{images} images have NaN or infinite pixels, the first is image {first}: remove or repair them"
    if array.min() < 0:
        return "undo the normalisation, e.g. x * std + mean, or rescale"
    if array.max() < 1.001:
        return "rounding left it above 1: clip, e.g. x.clip(0, 1)"
    return "divide by 255, or use uint8" if array.max() <= 255 else "rescale, or use uint8"
