"""Bases: images to plant a shortcut in, uint8 (n, channels, height, width), with int64 labels."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from .base import generator
from .crosses import draw_crosses
from .files import Stamp, stamp_of
from .idx import read_idx
from .labels import require_classes, require_known
from .npz import Shortcuts, read_npz, read_observed
from .pixels import require_more_than_black_and_white, require_pixels
from .registry import BadParameters, UnknownName, nearest
from .shortcuts import class_shortcuts

IDX_PARTS = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


OUTLINED = {"digits", "crosses", "mnist", "fashion-mnist"}
"""Bases that show their object alone, on black."""
INK = 25
"""A pixel of an object is brighter, of 255; darker pixels are the rim that resizing gives a stroke."""


class MissingData(FileNotFoundError):
    """Files of a base that are not in the data root and cannot be downloaded."""


@dataclass(frozen=True)
class Base:
    """Clean images and their labels; read-only, because the whole process shares them."""

    train_inputs: UInt8[np.ndarray, "train channels height width"]
    train_labels: Int[np.ndarray, "train"]
    test_inputs: UInt8[np.ndarray, "test channels height width"]
    test_labels: Int[np.ndarray, "test"]
    classes: int

    def __post_init__(self) -> None:
        for array in (self.train_inputs, self.train_labels, self.test_inputs, self.test_labels):
            array.setflags(write=False)


class Observation(NamedTuple):
    """A base whose images show shortcuts already.

    Attributes:
        class_shortcuts: the shortcut value that each class carries most often in training.
    """

    base: Base
    train: Shortcuts
    test: Shortcuts
    class_shortcuts: Int[np.ndarray, "classes"]


def data_root() -> Path:
    """The folder of the bases' files: `RRRBENCH_DATA`, else `rrrbench` in the user's cache folder."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RRRBENCH_DATA") or Path(cache_home) / "rrrbench").expanduser()


def known(base: str) -> str:
    """Returns the name of a base as given, if a base has this name.

    Raises:
        UnknownName: no base has this name; the message lists the nearest names.
        BadParameters: `npz:` without a path.
    """
    if base.startswith("npz:") and not base.removeprefix("npz:").strip():
        raise BadParameters("it names no file: write npz:PATH, such as npz:photos.npz")
    if base not in _LOADERS and not base.startswith("npz:"):
        raise UnknownName(f"no base is called {base!r}; {nearest(base, [*_LOADERS, 'npz:PATH'])}")
    return base


def load(base: str) -> Base:
    """Loads the base `digits`, `crosses`, `mnist`, `fashion-mnist`, `cifar10`, or `npz:PATH`, once per process.

    Raises:
        UnknownName: no base has this name.
        MissingData: a file is not in the data root and cannot be downloaded.
        ValueError: a file's content does not fit; the message says how.
    """
    if known(base).startswith("npz:"):
        path = _find(base.removeprefix("npz:"))
        return _npz(path, stamp_of(path))
    return _LOADERS[base](data_root())


def load_observed(file: str) -> Observation:
    """Loads an npz with masks and shortcut values of its own, once per process.

    Raises:
        MissingData: the file is not there.
        ValueError: a file's content does not fit; the message says how.
    """
    path = _find(file)
    return _observed(path, stamp_of(path))


def npz_files(file: str) -> tuple[Path, ...]:
    """The npz, if it is there."""
    with suppress(MissingData):
        return (_find(file),)
    return ()


def outlined(
    base: str, images: UInt8[np.ndarray, "n channels height width"]
) -> Bool[np.ndarray, "n 1 height width"] | None:
    """Where the object is in images of a base; None for bases whose ground is not black."""
    return np.any(images > INK, axis=1, keepdims=True) if base in OUTLINED else None


def files(base: str) -> tuple[Path, ...]:
    """The files that a base is read from; those that are not there are left out."""
    match known(base).partition(":"):
        case "npz", ":", path:
            return npz_files(path)
        case "mnist" | "fashion-mnist", *_:
            folder = data_root() / {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}[base] / "raw"
            there = [_idx_file(folder / part) for part in IDX_PARTS]
        case "cifar10", *_:
            batches = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
            there = [data_root() / "cifar-10-batches-py" / name for name in batches]
        case _:
            return ()
    return tuple(file for file in there if file.is_file())


def at_hand(base: str) -> bool:
    """Whether the base comes with its libraries, or lies whole in the data root; never a path from elsewhere."""
    if base.startswith("npz:"):
        name = base.removeprefix("npz:")
        return Path(name).name == name and (data_root() / name).is_file()
    folders = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
    raw = data_root() / folders.get(base, "") / "raw"
    return base in ("digits", "crosses") or (
        base in folders and all(_idx_file(raw / part).exists() for part in IDX_PARTS)
    )


def hold_out(
    base: Base, validation: int | None, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "train"], Int[np.ndarray, "validation"]]:
    """Holds inputs out of the training pool: indices for training and for validation, each in the base's order.

    Args:
        validation: number of inputs to hold out; None for a tenth of the pool.

    Raises:
        BadParameters: no input would be left to train on, or to validate on.
    """
    pool = len(base.train_labels)
    size = pool // 10 if validation is None else validation
    if size < 1:
        raise BadParameters(
            f"a tenth of {pool} training inputs is no input to validate on: give 10 inputs or more, or validation = 1"
        )
    if size >= pool:
        raise BadParameters(f"validation = {size} leaves nothing of the {pool} training inputs: ask for fewer")
    held_out = rng.permutation(pool) < size
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


@cache
def _digits(root: Path) -> Base:  # embedded in scikit-learn: needs no root
    from sklearn.datasets import load_digits  # takes seconds to import

    images, labels = (array.astype(np.int64) for array in map(np.asarray, load_digits(return_X_y=True)))
    order = generator(0, "digits").permutation(len(labels))
    inputs = _upsample(images[order].reshape(-1, 8, 8))[:, None]
    labels = labels[order]
    return Base(inputs[:1297], labels[:1297], inputs[1297:], labels[1297:], 10)


def _upsample(images: Int[np.ndarray, "n 8 8"]) -> UInt8[np.ndarray, "n 28 28"]:
    """Resizes 8x8 in 0..16 to 28x28 in 0..255: bilinear, half-pixel centres, edges clamped, rounded half up.

    Pixel i of 28 has its centre at (i + 1/2) 8/28 - 1/2 = (4i - 5)/14 of 8, so weights are whole 14ths. Integers hold
    them exactly and give the same bits on every machine.
    """
    whole, part = np.divmod(4 * np.arange(28) - 5, 14)
    weights = np.zeros((28, 8), dtype=np.int64)
    np.add.at(weights, (np.arange(28), whole.clip(0, 7)), 14 - part)
    np.add.at(weights, (np.arange(28), (whole + 1).clip(0, 7)), part)
    scale = 14 * 14 * 16
    return ((weights @ images @ weights.T * 255 + scale // 2) // scale).astype(np.uint8)


@cache
def _crosses(root: Path) -> Base:  # drawn: needs no root
    """The authors' training and validation sets to train on, their test set to test on."""
    images, labels = map(np.stack, zip(*map(draw_crosses, (1, 2, 3)), strict=True))
    grey = np.where(images, 255, 0).astype(np.uint8)[:, :, None]
    return Base(np.concatenate(grey[:2]), np.concatenate(labels[:2]), grey[2], labels[2], 2)


def _mnist(root: Path, dataset: str = "MNIST") -> Base:
    folder = root / dataset / "raw"
    absent = [part for part in IDX_PARTS if not _idx_file(folder / part).exists()]
    if absent:
        _download(dataset, root, [folder / f"{part}.gz" for part in absent])
    files = tuple(_idx_file(folder / part) for part in IDX_PARTS)
    return _idx(files, tuple(map(stamp_of, files)))


@cache
def _idx(files: tuple[Path, ...], stamps: tuple[Stamp, ...]) -> Base:
    train_images, train_labels, test_images, test_labels = files
    inputs = [read_idx(file, rank=3) for file in (train_images, test_images)]
    labels = [read_idx(file, rank=1).astype(np.int64) for file in (train_labels, test_labels)]
    for images, classes, x, y in zip(files[::2], files[1::2], inputs, labels, strict=True):
        if len(x) != len(y):
            raise ValueError(
                f"{images} has {len(x)} images, {classes} has {len(y)} labels: they are of different data sets; "
                "delete both, and the next run downloads them again"
            )
    if inputs[0].shape[1:] != inputs[1].shape[1:]:
        raise ValueError(
            f"{train_images} and {test_images} differ in shape: {inputs[0].shape[1:]} and {inputs[1].shape[1:]}; "
            "delete the file that is of another data set, and the next run downloads it again"
        )
    by_file = dict(zip(map(str, (train_labels, test_labels)), labels, strict=True))
    require_known(by_file, 10)
    if (classes := require_classes(str(train_labels.parent), by_file)) != 10:
        raise ValueError(f"{train_labels} has {classes} classes, expected 10: are images of a class left out?")
    for images, x in zip(files[::2], inputs, strict=True):
        require_more_than_black_and_white(str(images), x)
    require_pixels(str(train_images.parent), {train_images.name: inputs[0], test_images.name: inputs[1]})
    if len(inputs[0]) < len(inputs[1]):
        raise ValueError(
            f"{train_images} has {len(inputs[0])} images, and {test_images} {len(inputs[1])}: the training part is the "
            "smaller part; are the files swapped? Give each its name"
        )
    return Base(inputs[0][:, None], labels[0], inputs[1][:, None], labels[1], 10)


def _fashion_mnist(root: Path) -> Base:
    return _mnist(root, "FashionMNIST")


@cache
def _cifar10(root: Path) -> Base:
    train, test = _download("CIFAR10", root, [root / "cifar-10-python.tar.gz"])
    inputs = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test)]
    return Base(inputs[0], np.array(train.targets), inputs[1], np.array(test.targets), 10)


_LOADERS: dict[str, Callable[[Path], Base]] = {
    "digits": _digits,
    "crosses": _crosses,
    "mnist": _mnist,
    "fashion-mnist": _fashion_mnist,
    "cifar10": _cifar10,
}


def _download(dataset: str, root: Path, files: list[Path]) -> list:
    """Loads torchvision's training part and test part; downloads `files` that are not in `root` yet."""
    from torchvision import datasets as torchvision_datasets  # takes seconds to import

    try:
        return [getattr(torchvision_datasets, dataset)(root, train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        reason = shorten(str(error), 200)
        raise MissingData(
            f"{dataset} is missing: {', '.join(str(file) for file in files)}. The download failed ({reason}). Put the "
            "files there, point --data-root or RRRBENCH_DATA at a folder that has them, or run once online"
        ) from error


def _idx_file(plain: Path) -> Path:
    """The compressed file if it exists, because it has a checksum and needs no second file; else the plain file."""
    compressed = plain.with_name(f"{plain.name}.gz")
    return compressed if compressed.exists() else plain


def _find(path: str) -> Path:
    candidates = [folder / Path(path).expanduser() for folder in (Path.cwd(), data_root())]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.absolute()
    raise MissingData(
        f"npz:{path} is missing: looked for {' and '.join(dict.fromkeys(map(str, candidates)))}. "
        "Put the file into either place, or give its full path"
    )


@cache
def _npz(path: Path, stamp: Stamp) -> Base:  # the stamp is in the cache's key: a replaced file is read anew
    return Base(*read_npz(path))


@cache
def _observed(path: Path, stamp: Stamp) -> Observation:
    arrays, train, test = read_observed(path)
    labels = {"train": arrays.train_labels, "test": arrays.test_labels}
    parts = {f"shortcuts_{part}": (own.values, labels[part]) for part, own in (("train", train), ("test", test))}
    if (without := np.flatnonzero(test.values < 0)).size:
        raise ValueError(
            f"{path}: shortcuts_test is -1 for {len(without)} images, the first is image {without[0]}: leave these "
            "out, for an image without a shortcut cannot show another value"
        )
    for array in (*train, *test):
        array.setflags(write=False)
    return Observation(Base(*arrays), train, test, class_shortcuts(str(path), parts, arrays.classes))
