"""Networks: `features(x)`, then a linear `head`. One file each."""

from .base import NetworkRecipe, networks

__all__ = ["NetworkRecipe", "networks"]
