"""Networks of known reliance: they provably do not use pixels that are hidden from them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from ...datasets.base import ShortcutDataset
from ...methods.network import PixelRange
from .base import Network, NetworkRecipe, networks


@networks.register
class Blinkered(NetworkRecipe):
    """Wraps another network (its defaults): dims the pixels that any test mask covers, the other pixels, or both.

    Pixels are multiplied by a constant before the first learned layer: times 0 they provably have no effect, and the
    dimmer the rest, the more a network relies on the masks. Seeds whose masks cover different pixels are trained apart.
    """

    name: ClassVar[str] = "blinkered"

    masks: Annotated[float, Field(ge=0, description="factor of the pixels that any mask covers")] = 1.0
    rest: Annotated[float, Field(ge=0, description="factor of the other pixels")] = 0.0
    network: Literal["lenet", "mlp"] = "lenet"

    def build(self, dataset: ShortcutDataset, seed: int) -> Network:
        module = networks.resolve({"name": self.network, "pixel_range": self.pixel_range}).build(dataset, seed)
        covered = torch.stack([split.masks[:].any(0) for split in dataset.environments.values()]).any(0)
        factors = torch.where(covered, self.masks, self.rest)
        given: PixelRange = module.features.pixel_range  # pyrefly: ignore
        module.features.pixel_range = PixelRange(given.low, given.low + given.scale * factors)
        return module
