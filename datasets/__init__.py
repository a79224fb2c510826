"""Datasets in which a shortcut is planted by a known rule."""

from .base import ENVIRONMENTS, Batch, Environment, Recipe, ShortcutDataset, Split, datasets, make

__all__ = ["ENVIRONMENTS", "Batch", "Environment", "Recipe", "ShortcutDataset", "Split", "datasets", "make"]
