"""Networks of known reliance: what they cannot see, they provably do not use."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch

from ...datasets.base import ShortcutDataset
from ...methods.network import PixelRange
from .base import Network, NetworkRecipe, networks


@networks.register
class Blinkered(NetworkRecipe):
    """Another network, with its defaults, that sees only the pixels which some mask covers, or only the rest.

    The others are multiplied by 0 before the first learned layer. Seeds of a dataset whose masks cover different pixels
    do not share a stack.
    """

    name: ClassVar[str] = "blinkered"

    sees: Literal["masks", "rest"] = "masks"
    network: Literal["lenet", "mlp"] = "lenet"

    def build(self, dataset: ShortcutDataset, seed: int) -> Network:
        module = networks.resolve({"name": self.network, "pixel_range": self.pixel_range}).build(dataset, seed)
        covered = torch.stack([split.masks.any(0) for split in dataset.environments.values()]).any(0)
        seen = covered if self.sees == "masks" else ~covered
        given: PixelRange = module.features.pixel_range  # pyrefly: ignore
        module.features.pixel_range = PixelRange(given.low, given.low + given.scale * seen)
        return module
