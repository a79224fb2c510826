"""Arrays as callers bring them, lists, tensors, and tables: taken, or refused by name before anything is done."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from torch import Tensor

NUMBERS = "biuf"
"""NumPy's kinds that are real numbers."""


def as_array(name: str, values: ArrayLike) -> Shaped[np.ndarray, "*shape"]:
    """The values as a NumPy array; a tensor is detached, and brought to the CPU.

    Raises:
        ValueError: rows of different lengths, or masked entries.
    """
    if isinstance(values, Tensor):
        tensor = values.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} cannot be made an array ({error}): give rows of one length") from error
    if np.ma.is_masked(values):
        raise ValueError(f"{name} have masked entries: fill them, or leave their rows out")
    return array


def as_numbers(name: str, values: ArrayLike) -> Shaped[np.ndarray, "*shape"]:
    """The values as an array of finite real numbers.

    Raises:
        ValueError: other types, NaN, or infinity.
    """
    array = as_array(name, values)
    if array.dtype.kind not in NUMBERS:
        given = type(values).__name__ if array.ndim == 0 else f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"{name} are {given}, expected an array of numbers, e.g. np.asarray(values, np.float32)")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        raise ValueError(
            f"{name} hold {array[place]} at {place}, which is not finite; expected finite floats: repair, or leave out"
        )
    return array


def as_embeddings(embeddings: ArrayLike) -> Float[np.ndarray, "n width"]:
    """The embeddings as float32, or float64 where they are float64 or integers.

    Raises:
        ValueError: another number of axes, no embeddings, or values that are not finite numbers.
    """
    array = as_numbers("embeddings", embeddings)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"embeddings have shape {array.shape}, expected 2D, (n, embed_dim), of at least one number")
    small = array.dtype.kind == "f" and array.dtype.itemsize <= 4
    return array.astype(np.float32 if small else np.float64)


def encoded(name: str, labels: ArrayLike, count: int) -> tuple[Shaped[np.ndarray, "values"], Int[np.ndarray, "n"]]:
    """The distinct labels, sorted, and the index of each label; names are as good as numbers.

    Args:
        name: by which errors call the labels.
        count: of the embeddings.

    Raises:
        ValueError: not a label for each embedding, missing labels, fractions, or names mixed with numbers.
    """
    array = as_array(name, labels)
    if array.ndim == 2 and len(array) == count:
        raise ValueError(f"{name} have shape {array.shape}, expected ({count},): of one-hot labels, give .argmax(1)")
    if array.shape != (count,):
        raise ValueError(
            f"{name} of shape {array.shape} for {count} embeddings: give the same length, a label for each"
        )
    missing = np.flatnonzero(pd.isna(array))
    if len(missing):
        raise ValueError(
            f"{name} hold {array[missing[0]]} at {missing[0]}: leave that embedding out, or name its group"
        )
    if array.dtype.kind == "f" and (array != np.trunc(array)).any():
        fraction = array[array != np.trunc(array)][0]
        raise ValueError(f"{name} hold {fraction}, expected integers or names: cut a quantity into ranges first")
    try:
        return np.unique(array, return_inverse=True)
    except TypeError as error:
        kinds = " and ".join(sorted({type(value).__name__ for value in array.tolist()}))
        raise ValueError(
            f"{name} hold {kinds}, which have no common order: make all of them names, e.g. str"
        ) from error
