"""Networks of known reliance: what they cannot see, they provably do not use."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ...datasets.base import ShortcutDataset
from ...methods.network import PixelRange
from .base import Network, NetworkRecipe, networks


@networks.register
class Blinkered(NetworkRecipe):
    """Another network, with its defaults, that sees the pixels which some mask covers, and the rest dimmed or not.

    Both are multiplied by a constant before the first learned layer: by 0 they provably do not matter, and the dimmer
    the rest, the more a network relies on the masks. Seeds of a dataset whose masks cover different pixels are
    trained one by one.
    """

    name: ClassVar[str] = "blinkered"

    masks: Annotated[float, Field(ge=0, description="factor of the pixels that some mask covers")] = 1.0
    rest: Annotated[float, Field(ge=0, description="factor of the others")] = 0.0
    network: Literal["lenet", "mlp"] = "lenet"

    def build(self, dataset: ShortcutDataset, seed: int) -> Network:
        module = networks.resolve({"name": self.network, "pixel_range": self.pixel_range}).build(dataset, seed)
        covered = torch.stack([split.masks.any(0) for split in dataset.environments.values()]).any(0)
        factors = torch.where(covered, self.masks, self.rest)
        given: PixelRange = module.features.pixel_range  # pyrefly: ignore
        module.features.pixel_range = PixelRange(given.low, given.low + given.scale * factors)
        return module
