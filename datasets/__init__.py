"""Datasets in which a shortcut is planted by a known rule."""

from .base import ENVIRONMENTS, Batch, Environment, ShortcutDataset, Split
from .recipe import Recipe, datasets, make

__all__ = ["ENVIRONMENTS", "Batch", "Environment", "Recipe", "ShortcutDataset", "Split", "datasets", "make"]
