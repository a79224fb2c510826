"""What the arguments may be, and draws that leave the global random state alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import ConfigDict, Field

SETTINGS = ConfigDict(arbitrary_types_allowed=True)
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0)] | None
"""None draws a new one every time."""


def generator_of(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(seed)


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[torch.Generator]:
    """A generator for our own draws; those that layers make by themselves (weights, dropout) are seeded meanwhile."""
    generator = generator_of(seed)
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        torch.default_generator.manual_seed(generator.initial_seed())
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(generator.initial_seed())
        yield generator
