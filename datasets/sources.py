"""Bases: images to plant a shortcut in, uint8 (n, channels, height, width), with int64 labels."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import shorten

import numpy as np
from jaxtyping import Int, UInt8

from .base import generator
from .registry import BadParameters, UnknownName, nearest

_IDX_PARTS = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


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


def data_root() -> Path:
    """The folder of the bases' files: `RRRBENCH_DATA`, else `rrrbench` in the user's cache folder."""
    cache_home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("RRRBENCH_DATA") or Path(cache_home) / "rrrbench").expanduser()


def known(base: str) -> str:
    """Returns the name of a base as given, if a base has this name.

    Raises:
        UnknownName: no base has this name; the message lists the nearest names.
    """
    if base not in _LOADERS and not base.startswith("npz:"):
        raise UnknownName(f"no base is called {base!r}; {nearest(base, [*_LOADERS, 'npz:PATH'])}")
    return base


def load(base: str) -> Base:
    """Loads the base `digits`, `mnist`, `fashion-mnist`, `cifar10`, or `npz:PATH`, once per process.

    Raises:
        UnknownName: no base has this name.
        MissingData: a file is not in the data root and cannot be downloaded.
        ValueError: a file's content does not fit; the message says how.
    """
    if known(base).startswith("npz:"):
        return _npz(_find(base.removeprefix("npz:")))
    return _LOADERS[base](data_root())


def at_hand(base: str) -> bool:
    """Whether the base comes with its libraries, or lies whole in the data root; never a path from elsewhere."""
    folders = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
    raw = data_root() / folders.get(base, "") / "raw"
    return base == "digits" or (base in folders and all(_idx_file(raw / part).exists() for part in _IDX_PARTS))


def hold_out(
    base: Base, validation: int | None, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "train"], Int[np.ndarray, "validation"]]:
    """Holds inputs out of the training pool: indices for training and for validation, each in the base's order.

    Args:
        validation: number of inputs to hold out; None for a tenth of the pool.

    Raises:
        BadParameters: no input would be left to train on.
    """
    pool = len(base.train_labels)
    size = pool // 10 if validation is None else validation
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
def _mnist(root: Path, dataset: str = "MNIST") -> Base:
    folder = root / dataset / "raw"
    absent = [part for part in _IDX_PARTS if not _idx_file(folder / part).exists()]
    if absent:
        _download(dataset, root, [folder / f"{part}.gz" for part in absent])
    train_inputs, train_labels, test_inputs, test_labels = (_read_idx(_idx_file(folder / part)) for part in _IDX_PARTS)
    return Base(
        train_inputs[:, None], train_labels.astype(np.int64), test_inputs[:, None], test_labels.astype(np.int64), 10
    )


def _fashion_mnist(root: Path) -> Base:
    return _mnist(root, "FashionMNIST")


@cache
def _cifar10(root: Path) -> Base:
    train, test = _download("CIFAR10", root, [root / "cifar-10-python.tar.gz"])
    inputs = [np.ascontiguousarray(part.data.transpose(0, 3, 1, 2)) for part in (train, test)]
    return Base(inputs[0], np.array(train.targets), inputs[1], np.array(test.targets), 10)


_LOADERS: dict[str, Callable[[Path], Base]] = {
    "digits": _digits,
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


def _read_idx(path: Path) -> UInt8[np.ndarray, "*shape"]:
    """Reads an array in the format of the original MNIST: two zeros, type, rank, big-endian sizes, bytes."""
    try:
        raw = path.read_bytes()
        content = gzip.decompress(raw) if path.suffix == ".gz" else raw
        sizes = np.frombuffer(content, ">i4", count=content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes)
    except (gzip.BadGzipFile, EOFError, IndexError, ValueError, zlib.error) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete the file, and the next run downloads it again"
        ) from error


def _find(path: str) -> Path:
    candidates = [folder / Path(path).expanduser() for folder in (Path.cwd(), data_root())]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    raise MissingData(
        f"npz:{path} is missing: looked for {' and '.join(dict.fromkeys(map(str, candidates)))}. "
        "Put the file into either place, or give its full path"
    )


@cache
def _npz(path: Path) -> Base:
    with np.load(path, allow_pickle=False) as arrays:
        absent = {"x_train", "y_train", "x_test", "y_test"} - set(arrays.files)
        if absent:
            raise ValueError(f"{path} has no {', '.join(sorted(absent))}; it has {', '.join(arrays.files)}")
        inputs = [_as_images(arrays[name], f"{path}: {name}") for name in ("x_train", "x_test")]
        labels = [
            _as_labels(arrays[f"y_{part}"], len(x), f"{path}: y_{part}")
            for part, x in zip(("train", "test"), inputs, strict=True)
        ]
    if inputs[0].shape[1:] != inputs[1].shape[1:]:
        raise ValueError(f"{path}: x_train and x_test differ in shape: {inputs[0].shape} and {inputs[1].shape}")
    classes = int(max(part.max() for part in labels)) + 1
    if classes < 2:
        raise ValueError(f"{path}: every label is 0, expected two classes or more")
    return Base(inputs[0], labels[0], inputs[1], labels[1], classes)


def _as_images(array: np.ndarray, name: str) -> UInt8[np.ndarray, "n channels height width"]:
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"{name} has shape {array.shape}, expected (n, height, width) or (n, height, width, 1 or 3)")
    if array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise ValueError(f"{name} is {array.dtype}, expected uint8 in 0..255 or floats in [0, 1]")
        low, high = array.min(), array.max()
        if not (low >= 0 and high <= 1):  # written so that NaN fails too
            raise ValueError(
                f"{name} ranges over [{low:g}, {high:g}], expected floats in [0, 1]: rescale, or use uint8"
            )
        array = np.rint(array * 255).astype(np.uint8)
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2))


def _as_labels(array: np.ndarray, n: int, name: str) -> Int[np.ndarray, "n"]:
    if array.shape != (n,) or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, expected integers of shape ({n},)")
    if array.min() < 0:
        raise ValueError(f"{name} has a label {array.min()}, expected 0, 1, ...: relabel the inputs")
    return array.astype(np.int64)
