"""What is a mask: a tensor of two values that fits its inputs; other tensors are refused with the way out."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor


def as_mask(mask: Shaped[Tensor, "n *#features"], shape: torch.Size | tuple[int, ...]) -> Bool[Tensor, "n *#features"]:
    """The mask as bool, if it is one: values in {0, 1}, broadcastable to `shape`.

    Raises:
        ValueError: other values, named, or a shape that does not broadcast.
    """
    if not isinstance(mask, Tensor):
        raise ValueError(f"mask is a {type(mask).__name__}: pass a tensor, e.g. torch.as_tensor(mask)")
    if mask.dtype != torch.bool:
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise ValueError(_not_binary(mask))
        mask = mask.bool()
    fits = mask.dim() == len(shape) and mask.shape[0] == shape[0]
    if not fits or any(m not in (1, s) for m, s in zip(mask.shape[1:], shape[1:], strict=True)):
        raise ValueError(
            f"mask has shape {tuple(mask.shape)}, inputs have {tuple(shape)}: give one mask per input, "
            "with size 1 where it is to be broadcast, e.g. (n, 1, height, width)"
        )
    return mask


def _not_binary(mask: Shaped[Tensor, "n *features"]) -> str:
    """Names the values of a mask that are neither 0 nor 1, and a threshold that divides the mask's values."""
    begin = "mask has values that are neither 0 nor 1, such as"
    if mask.is_complex() or not bool(torch.isfinite(mask).all()):
        wrong = mask.flatten()[0].item() if mask.is_complex() else mask[~torch.isfinite(mask)][0].item()
        return f"{begin} {wrong:g}: pass a bool tensor, True where the shortcut is"
    values = mask.unique()  # sorted
    other, low, high = values[(values != 0) & (values != 1)][0].item(), values[0].item(), values[-1].item()
    if len(values) == 1:
        return (
            f"{begin} {_short(other)}: all {len(mask)} masks are {_short(low)} everywhere, and a constant mask does "
            "not say where the shortcut is; pass a bool tensor, True where it is"
        )
    if len(values) == 2:
        return (
            f"{begin} {_short(other)}: its two values are {_short(low)} and {_short(high)}: pass mask > {_short(low)} "
            f"if {_short(high)} marks the shortcut, else mask < {_short(high)}"
        )
    between = float(f"{(low + high) / 2:g}")
    threshold = between if low <= between < high else low
    return (
        f"{begin} {_short(other)}, in [{_short(low)}, {_short(high)}]: pass a bool tensor; of a heatmap, the pixels "
        f"above a threshold, e.g. mask > {_short(threshold)}"
    )


def _short(value: float) -> str:
    """The number in six digits if these give the number again, else in all of its digits; minus zero as zero."""
    short = f"{value + 0:g}"
    return short if float(short) == value else repr(value)
