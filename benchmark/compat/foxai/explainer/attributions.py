"""Attributions: a tensor; a tuple for a layer with several outputs; a list for several layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Attributions = Tensor | tuple[Tensor, ...] | list[Tensor | tuple[Tensor, ...]]

EMPTY = "the attribution is empty, of shape {shape}: give one image at least, that the layer sees"


def mapped(function: Callable[[Tensor], Tensor], attributions: Attributions) -> Attributions:
    """Applies the function to each tensor."""
    if isinstance(attributions, Tensor):
        return function(attributions)
    return type(attributions)(mapped(function, part) for part in attributions)  # pyrefly: ignore


def mean(several: Sequence[Attributions]) -> Attributions:
    """The mean over attributions of the same structure."""
    first = several[0]
    if isinstance(first, Tensor):
        return torch.stack(list(several)).mean(0) if len(several) > 1 else first  # pyrefly: ignore
    return type(first)(mean(parts) for parts in zip(*several, strict=True))  # pyrefly: ignore


def unwrapped(attributions: Attributions) -> Attributions:
    """Captum's result without graph, where a tuple of one tensor is that tensor.

    Raises:
        RuntimeError: a tensor is empty.
    """
    if isinstance(attributions, list):
        return [unwrapped(part) for part in attributions]  # pyrefly: ignore
    if isinstance(attributions, tuple):
        parts = tuple(unwrapped(part) for part in attributions)
        return parts[0] if len(parts) == 1 else parts  # pyrefly: ignore
    if attributions.numel() == 0:
        raise RuntimeError(EMPTY.format(shape=tuple(attributions.shape)))
    return attributions.detach()
