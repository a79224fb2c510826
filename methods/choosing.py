"""Numbers drawn on the CPU and used where the inputs are; the CPU reads nothing back.

A read would make the CPU wait, in every step, until a GPU has done all that it was given before.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

PINNED_FOR = {"cuda"}
"""Types of devices that copy pinned memory while the CPU goes on, and other memory after all that they were given."""


def moved(drawn: Shaped[Tensor, "*shape"], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """What was drawn on the CPU, on the device; the CPU does not wait for the copy.

    Args:
        dtype: by default the type that it has.
    """
    drawn = drawn.to(dtype or drawn.dtype)  # here: a copy that changes the type as well would not be of pinned memory
    if device.type in PINNED_FOR and drawn.device.type == "cpu":
        drawn = drawn.pin_memory()
    return drawn.to(device, non_blocking=True)


def choose_candidates(
    candidates: Bool[Tensor, "rows n"], count: int, generator: torch.Generator
) -> Int[Tensor, "rows count"]:
    """Chooses `count` candidates of each row uniformly, with replacement; the choices of `torch.multinomial` on a CPU.

    Args:
        candidates: at least one in each row.
        generator: of the CPU.
    """
    if count == 1:  # multinomial too takes another way
        return choose_candidate(candidates, generator)[:, None]
    fractions = torch.rand(len(candidates), count, dtype=torch.float64, generator=generator)
    cumulative = candidates.float().cumsum(1)
    cumulative = (cumulative / cumulative[:, -1:]).double()
    return torch.searchsorted(cumulative, moved(fractions, candidates.device))


def choose_candidate(candidates: Bool[Tensor, "rows n"], generator: torch.Generator) -> Int[Tensor, "rows"]:
    """Chooses one candidate of each row uniformly; the choice of `torch.multinomial` without replacement on a CPU.

    Of exponential waiting times, one for each candidate, the shortest decides.

    Args:
        candidates: at least one in each row.
        generator: of the CPU.
    """
    waiting = torch.empty(candidates.shape).exponential_(generator=generator)
    return (candidates / moved(waiting, candidates.device)).argmax(1)
