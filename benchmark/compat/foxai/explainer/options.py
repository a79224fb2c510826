"""The further arguments of captum's algorithms, checked by their names before captum sees them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np

Method = Literal["riemann_right", "riemann_left", "riemann_middle", "riemann_trapezoid", "gausslegendre"]

LARGEST_SEED = 2**32 - 1
COUNTS = {
    *("n_steps", "n_samples", "nt_samples", "nt_samples_batch_size", "internal_batch_size", "perturbations_per_eval")
}
BOUNDS = {"internal_batch_size", "nt_samples_batch_size"}
"""Counts that may be None: all in one pass."""
FLAGS = {"abs", "attribute_to_layer_input", "relu_attributions", "verbose", "multiply_by_inputs"}
WORDS = {
    "method": get_args(Method),
    "nt_type": ("smoothgrad", "smoothgrad_sq", "vargrad"),
    "interpolate_mode": ("nearest", "bilinear", "bicubic", "area", "linear", "trilinear", "nearest-exact"),
}


def checked_options(options: Mapping[str, Any], features: tuple[int, ...]) -> dict[str, Any]:
    """The options as captum takes them.

    Args:
        features: an input's shape.

    Raises:
        TypeError: a number that is no integer, a truth value that is none, or the reverse.
        ValueError: a number out of range, an unknown word, a window that does not fit the inputs.
    """
    checked = {name: _checked(name, value, features) for name, value in options.items()}
    method = checked.get("method", "gausslegendre")
    least = 1 if method == "gausslegendre" else 2
    if checked.get("n_steps", least) < least:
        raise ValueError(f"n_steps = {checked['n_steps']}: {method} needs at least {least}")
    return checked


def _checked(name: str, value: Any, features: tuple[int, ...]) -> Any:
    if name in COUNTS and not (value is None and name in BOUNDS):
        return _count(name, value)
    if name in FLAGS:
        return _flag(name, value)
    if name in WORDS and value not in WORDS[name]:
        raise ValueError(f"{name} = {value!r}, expected one of {', '.join(WORDS[name])}")
    if name == "stdevs":
        return _deviation(value)
    if name == "sliding_window_shapes":
        return _window(name, value, features)
    if name == "strides" and value is not None:
        return _count(name, value) if isinstance(value, Real) else _window(name, value, features)
    return value


def checked_seed(seed: Any) -> int:
    """The seed, for torch and numpy alike.

    Raises:
        TypeError: no integer.
        ValueError: out of numpy's range.
    """
    if isinstance(seed, bool | np.bool_) or not isinstance(seed, Integral):
        raise TypeError(f"seed = {seed!r}: give an integer from 0 to {LARGEST_SEED}")
    number = int(seed)
    if not 0 <= number <= LARGEST_SEED:
        raise ValueError(f"seed = {seed}: give an integer from 0 to {LARGEST_SEED}")
    return number


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise TypeError(f"{name} = {value!r}: give an integer, 1 or more")
    if value < 1 and name != "n_steps":
        raise ValueError(f"{name} = {value}: give 1 or more")
    return int(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} = {value!r}: give True or False")
    return bool(value)


def _deviation(value: Any) -> Any:
    for deviation in value if isinstance(value, tuple) else (value,):
        if isinstance(deviation, bool) or not isinstance(deviation, Real):
            raise TypeError(f"stdevs = {value!r}: give a number, the noise's standard deviation")
        if not (math.isfinite(deviation) and float(deviation) >= 0):
            raise ValueError(f"stdevs = {value!r}: give a finite number, 0 or more")
    return value


def _window(name: str, value: Any, features: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(value, Real | tuple | list):
        raise TypeError(f"{name} = {value!r}: give a size for each of an input's {len(features)} dimensions")
    sizes = (value,) * len(features) if isinstance(value, Real) else tuple(value)
    sizes = tuple(_count(name, size) for size in sizes)
    if len(sizes) != len(features) or any(size > side for size, side in zip(sizes, features, strict=True)):
        raise ValueError(f"{name} = {value} does not fit inputs of {features}: give a size for each, no larger")
    return sizes
