"""What an image is compared with."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Baselines = Tensor | float | Literal["noise"] | None


def baselines_for(
    baselines: Baselines, inputs: Float[Tensor, "batch *features"], seed: int, *, distribution: bool = False
) -> list[Float[Tensor, "baselines *features"]]:
    """The baselines to explain against, one after the other.

    Args:
        baselines: None for zeros; a number; a tensor of one input's shape or with one row for each input, and of
            several such with a dimension more in front; `"noise"` for normal noise.
        seed: of the noise.
        distribution: the algorithm draws from the rows of a baseline, so there may be any number of them.

    Raises:
        ValueError: another shape or another word.
    """
    if isinstance(baselines, str):
        if baselines != "noise":
            raise ValueError(
                f"baselines = {baselines!r}: the only ones with a name are 'noise'; give a number or a tensor"
            )
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed), dtype=inputs.dtype)
        return [noise.to(inputs.device)]
    if baselines is None or not isinstance(baselines, Tensor) or baselines.dim() == 0:
        value = 0.0 if baselines is None else float(baselines)
        return [torch.full_like(inputs, value, requires_grad=False)]
    several = list(baselines) if baselines.dim() == inputs.dim() + 1 else [baselines]
    if baselines.shape == inputs.shape[1:]:
        several = [baselines.unsqueeze(0)]
    return [_checked(one.detach().to(inputs), inputs, distribution) for one in several]


def _checked(baseline: Tensor, inputs: Tensor, distribution: bool) -> Tensor:
    fits = baseline.shape[1:] == inputs.shape[1:] and (distribution or len(baseline) in (1, len(inputs)))
    if not fits:
        raise ValueError(
            f"baselines of {tuple(baseline.shape)} for inputs of {tuple(inputs.shape)}: give a number, one for all "
            "(1, ...), or one for each input; several of either with a dimension more in front"
        )
    return baseline if distribution else baseline.expand_as(inputs)
