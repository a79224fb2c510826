"""Architectures of networks: `features(x)`, then a `head`. Each architecture has its own file."""

from .base import NetworkRecipe, networks

__all__ = ["NetworkRecipe", "networks"]
