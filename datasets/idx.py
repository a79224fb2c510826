"""Reads idx files, the format of the original MNIST: two zeros, type, rank, big-endian sizes, bytes."""

from __future__ import annotations

import gzip
import zlib
from io import BufferedIOBase
from math import prod
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

TYPES = {8: "uint8", 9: "int8", 11: "int16", 12: "int32", 13: "float32", 14: "float64"}
UNSIGNED_BYTE = 8
MOST_INFLATED = 1032  # times the size of a file: the most that deflate can do


def read_idx(path: Path, rank: int) -> UInt8[np.ndarray, "*shape"]:
    """Reads an array of bytes of this rank; a compressed file is inflated no further than its header says.

    Raises:
        ValueError: a file that is damaged, or holds another type, rank or number of bytes.
    """
    if not path.is_file():
        raise ValueError(f"{path} is no regular file: put the idx file there")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(file, rank)
            if prod(shape) > MOST_INFLATED * path.stat().st_size:
                raise ValueError(f"its sizes are {shape}, far more than it can hold")
            content = file.read(prod(shape) + 1)
    except (gzip.BadGzipFile, EOFError, ValueError, zlib.error) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete the file, and the next run downloads it again"
        ) from error
    if len(content) != prod(shape):
        sizes, found = "x".join(map(str, shape)), "more" if len(content) > prod(shape) else len(content)
        raise ValueError(
            f"{path} is damaged (its header says {sizes} = {prod(shape)} bytes, {found} are there): "
            "delete the file, and the next run downloads it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(file: BufferedIOBase, rank: int) -> tuple[int, ...]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise ValueError(f"it begins with {magic!r}, an idx file with two zeros, a type and a rank")
    if magic[2] != UNSIGNED_BYTE:
        kind = TYPES.get(magic[2], f"of the unknown type {magic[2]}")
        raise ValueError(f"its values are {kind}, expected uint8: images are bytes in 0..255, labels bytes")
    if magic[3] != rank:
        raise ValueError(f"its rank is {magic[3]}, expected {rank}: images have 3 axes, labels 1")
    sizes = file.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise ValueError("it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">i4"))
    if min(shape) < 1:
        raise ValueError(f"its sizes are {shape}, expected positive numbers")
    return shape
