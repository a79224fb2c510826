"""What an image is compared with."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Baselines = Tensor | np.ndarray | float | np.number | str | tuple[Any, ...] | list[Any] | None
"""`baselines_for` says what each means; of texts there is `"noise"` alone."""


def baselines_for(
    baselines: Baselines, inputs: Float[Tensor, "batch *features"], seed: int, *, distribution: bool = False
) -> list[Float[Tensor, "baselines *features"]]:
    """The baselines to explain against, one after the other.

    Args:
        baselines: None for zeros; a number; a tensor or an array: of one input's shape, with a row for each input, or,
            for several baselines, with one more dimension in front; a tuple with a single baseline, as captum takes it
            for a model with one input; `"noise"` for normal noise.
        seed: of the noise.
        distribution: the algorithm draws from the rows of a baseline, so there may be any number of them.

    Raises:
        TypeError: neither number nor tensor.
        ValueError: another shape, another word, no row, NaN or infinity.
    """
    if isinstance(baselines, tuple | list):
        baselines = _single(baselines)
    if isinstance(baselines, str):
        if baselines != "noise":
            raise ValueError(
                f"baselines = {baselines!r}: the only ones with a name are 'noise'; give a number or a tensor"
            )
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed), dtype=inputs.dtype)
        return [noise.to(inputs.device)]
    tensor = _as_tensor(0.0 if baselines is None else baselines, inputs)
    if tensor.dim() == 0:
        return [torch.full_like(inputs, float(tensor), requires_grad=False)]
    several = list(tensor) if tensor.dim() == inputs.dim() + 1 else [tensor]
    if tensor.shape == inputs.shape[1:]:
        several = [tensor.unsqueeze(0)]
    if not several or not tensor.numel():
        raise ValueError(f"baselines of {tuple(tensor.shape)} hold no baseline: give one at least, or None for zeros")
    return [_checked(baseline, inputs, distribution) for baseline in several]


def _single(baselines: tuple[Any, ...] | list[Any]) -> Any:
    if len(baselines) != 1:
        raise TypeError(
            f"baselines is a {type(baselines).__name__} of {len(baselines)}, for a model of one input: give a tensor, "
            "or torch.stack several, whose attributions are averaged"
        )
    return baselines[0]


def _as_tensor(baselines: Any, inputs: Tensor) -> Tensor:
    if isinstance(baselines, np.ndarray | np.generic):
        baselines = torch.from_numpy(np.asarray(baselines))
    if isinstance(baselines, bool) or not isinstance(baselines, Real | Tensor):
        raise TypeError(f"baselines = {baselines!r}: give a number, a tensor, an array, 'noise', or None for zeros")
    tensor = torch.as_tensor(baselines)
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"baselines are {tensor.dtype}: convert them to {inputs.dtype}, as the inputs are")
    tensor = tensor.detach().clone().to(inputs)
    if not bool(tensor.isfinite().all()):
        raise ValueError("baselines hold NaN or infinity: give finite numbers, or None for zeros")
    return tensor


def _checked(baseline: Tensor, inputs: Tensor, distribution: bool) -> Tensor:
    fits = baseline.shape[1:] == inputs.shape[1:] and (distribution or len(baseline) in (1, len(inputs)))
    if not fits:
        raise ValueError(
            f"baselines of {tuple(baseline.shape)} for inputs of {tuple(inputs.shape)}: give a number, one for all "
            "(1, ...), or one for each input; several of either with a dimension more in front"
        )
    return baseline if distribution else baseline.expand_as(inputs)
