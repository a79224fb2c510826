"""Which output is explained: a class for all inputs, or a class for each input."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

Target = int | np.integer | tuple[int, ...] | Tensor | np.ndarray | Sequence[Any] | None
"""A class for all inputs, or a class for each input; tuples index outputs of more than two dimensions."""
CaptumTarget = int | tuple[int, ...] | Tensor | list[tuple[int, ...]] | None


def checked_target(target: Target, output: Any) -> CaptumTarget:
    """The target as captum takes it, within the range of the model's output.

    Raises:
        TypeError: the output is no tensor, or the target holds no integers.
        ValueError: an index out of range, a target where there is no choice or none where there is, a wrong count.
    """
    if not isinstance(output, Tensor):
        raise TypeError(
            f"the model returns a {type(output).__name__}, not a tensor of logits: explain a module that returns the "
            "logits alone, for example one whose forward returns self.model(inputs)[0]"
        )
    if not output.is_floating_point():
        raise TypeError(f"the model returns {output.dtype}: return the logits, which have gradients, not classes")
    if output.dim() == 0:
        raise ValueError("the model returns a single number for the whole batch: return a row for each input")
    if isinstance(target, np.ndarray):
        target = torch.from_numpy(target)
    if isinstance(target, list | range):
        target = _of_list(list(target))
    if target is None:
        return _without_target(output)
    if isinstance(target, Tensor):
        return _of_tensor(target, output)
    if isinstance(target, list):
        _check_count(len(target), output)
        return [_of_tuple(places, output) for places in target]
    if isinstance(target, tuple):
        return _of_tuple(target, output)
    return _within(_integer(target), output, 1, needed=1)


def _without_target(output: Tensor) -> None:
    if output[0].numel() != 1:
        raise ValueError(
            f"pred_label_idx is None, but the model returns {tuple(output.shape)}: give the class that is explained, "
            f"0..{output.shape[1] - 1}"
        )


def _of_list(target: list[Any]) -> Tensor | list[tuple[Any, ...]]:
    if target and all(isinstance(place, tuple) for place in target):
        return target
    return torch.tensor([_integer(place) for place in target], dtype=torch.long)


def _of_tensor(target: Tensor, output: Tensor) -> int | Tensor:
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"pred_label_idx is {target.dtype}: give classes as integers, for example by argmax(1)")
    if target.dim() > 1:
        raise ValueError(
            f"pred_label_idx has shape {tuple(target.shape)}: give a class for each input, not a row; one-hot rows "
            "become classes by argmax(1)"
        )
    if target.numel() == 1:
        return _within(int(target), output, 1, needed=1)
    _check_count(len(target), output)
    for place in (int(target.min()), int(target.max())):
        _within(place, output, 1, needed=1)
    return target.detach().clone().to(output.device, torch.long)


def _of_tuple(places: tuple[Any, ...], output: Tensor) -> tuple[int, ...]:
    return tuple(
        _within(_integer(place), output, axis, needed=len(places)) for axis, place in enumerate(places, start=1)
    )


def _within(place: int, output: Tensor, axis: int, *, needed: int) -> int:
    if output.dim() == 1:
        raise ValueError(
            f"pred_label_idx = {place}, but the model returns one value for each input: leave it out (None)"
        )
    if needed != output.dim() - 1:
        raise ValueError(
            f"pred_label_idx has {needed} index for an output of {tuple(output.shape)}: give an integer or a list of "
            f"{len(output)} integers for (inputs, classes), a tuple of {output.dim() - 1} for this output"
            if output.dim() > 2
            else f"pred_label_idx is a tuple of {needed}: a tuple indexes outputs of more than two dimensions, and the "
            f"model returns {tuple(output.shape)}; give an integer, or a list with a class for each input"
        )
    if not 0 <= place < output.shape[axis]:
        alone = " (its single logit; negate the attributions for the other class)" if output.shape[axis] == 1 else ""
        raise ValueError(
            f"pred_label_idx = {place}, expected 0..{output.shape[axis] - 1}{alone}: the model returns "
            f"{tuple(output.shape)}"
        )
    return place


def _check_count(count: int, output: Tensor) -> None:
    if count != len(output):
        raise ValueError(f"{count} targets for {len(output)} inputs: give a class for each input, or one for all")


def _integer(place: Any) -> int:
    if isinstance(place, Tensor | np.ndarray) and place.ndim == 0:
        place = place.item()
    if isinstance(place, bool | np.bool_) or not isinstance(place, Integral):
        raise TypeError(f"pred_label_idx holds {place!r}: give classes as integers, 0 for the first")
    return int(place)
