"""Types of the arguments, each checked as it is given, and draws that leave the global random state alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SETTINGS = ConfigDict(arbitrary_types_allowed=True, strict=True)
"""Strict: no True for 1, and no "3" for 3."""


def _as_python(value: object) -> object:
    """The number or bool of a NumPy scalar, because strict types know Python's alone."""
    return value.item() if isinstance(value, np.generic) else value


def _usable(device: str | torch.device | None) -> str | torch.device | None:
    if device is None:
        return None
    try:
        torch.empty(0, device=device).tolist()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(f"device {str(device)!r} cannot be used here: give 'cpu', or None") from error
    return device


PYTHON = BeforeValidator(_as_python)
Count = Annotated[int, PYTHON, Field(ge=1)]
Number = Annotated[float, PYTHON, Field(allow_inf_nan=False)]
Positive = Annotated[float, PYTHON, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, PYTHON, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, PYTHON, Field(ge=0, le=1)]
Dropout = Annotated[float, PYTHON, Field(ge=0, lt=1)]
Switch = Annotated[bool, PYTHON]
Position = str | Annotated[int, PYTHON]
Seed = Annotated[int, PYTHON, Field(ge=0, lt=2**63)] | None
"""None draws a new seed every time."""
Device = Annotated[str | torch.device | None, AfterValidator(_usable)]


def check_settings(method: DataclassInstance) -> None:
    """Raises ValueError if an attribute that was set after the construction is out of its range."""
    replace(method)


def generator_of(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
        return generator
    return generator.manual_seed(seed)


@contextmanager
def seeded(seed: int | None, device: torch.device) -> Iterator[torch.Generator]:
    """A generator for our own draws; those that layers make by themselves (weights, dropout) are seeded meanwhile.

    Gradients are on meanwhile, even where the caller has switched them off.
    """
    generator = generator_of(seed)
    on_gpu = device.type == "cuda"
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng([device] if on_gpu else []):
        torch.default_generator.manual_seed(generator.initial_seed())
        if on_gpu:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(generator.initial_seed())
        yield generator


class Redrawn:
    """The generator of a method whose every call draws anew: another `random_state` starts it over."""

    random_state: Any

    def generator(self) -> torch.Generator:
        known: tuple[int | None, torch.Generator] | None = vars(self).get("_drawn")
        if known is None or known[0] != self.random_state:
            known = self._drawn = self.random_state, generator_of(self.random_state)
        return known[1]
