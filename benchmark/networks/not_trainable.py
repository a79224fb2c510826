"""A network that cannot be trained as the network it is, and how far numbers may differ."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from .base import NetworkRecipe

TOLERANCE = 1e-3
"""Of the largest logit, or of a parameter's largest gradient; rounding in float32 is a hundred times smaller."""


class NotTrainable(ValueError):
    """The engine would train another network than the recipe's."""


def refuse(recipe: NetworkRecipe, reason: str) -> NoReturn:
    """Raises NotTrainable with the recipe's name and the reason."""
    raise NotTrainable(f"network {recipe.id} cannot be trained as it is: {reason}")


def differ(one: Tensor, other: Tensor, rounding: float = 0.0) -> bool:
    """Whether two tensors differ by more than `TOLERANCE` of the largest number of the other, and rounding."""
    scale = float(other.detach().abs().max()) if other.numel() else 0.0
    return not torch.allclose(one, other, rtol=0.0, atol=TOLERANCE * scale + rounding + 1e-8, equal_nan=True)
