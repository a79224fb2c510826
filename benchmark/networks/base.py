"""What every network is: a fixed pixel range, then features, then a linear head; no BatchNorm."""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn

from ...datasets.base import ShortcutDataset
from ...datasets.registry import Named, Registry
from ...methods.network import PixelRange


class Network(nn.Module):
    """`head(features(x))`: logits."""

    def __init__(self, features: OrderedDict[str, nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(features)
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


class NetworkRecipe(Named):
    """An architecture; its fields are the parameters.

    `pixel_range` is the range that the first learned layer sees: `unit` for [0, 1], `native` for what the dataset's
    paper used, or (low, high). It is a fixed layer of the network, so that strengths keep one unit.
    """

    pixel_range: Literal["unit", "native"] | tuple[float, float] = "unit"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Module]:
        """The feature layers, without the pixel range, and the head; initialised from the global generator.

        Raises:
            ValueError: inputs of this shape do not fit the architecture.
        """
        raise NotImplementedError

    def build(self, dataset: ShortcutDataset, seed: int) -> Network:
        """The network for this dataset, initialised by the seed; the global random state is left as it was."""
        ranges = {"unit": (0.0, 1.0), "native": dataset.native_range}
        low, high = ranges[self.pixel_range] if isinstance(self.pixel_range, str) else self.pixel_range
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers, head = self.layers(dataset.features, dataset.classes)
        return Network(OrderedDict(pixel_range=PixelRange(low, high), **layers), head)


networks: Registry[NetworkRecipe] = Registry("network", "rrrbench.benchmark.networks")


def require_image(name: str, features: tuple[int, ...], smallest: int) -> None:
    """Raises ValueError unless inputs are (channels, height, width) of at least `smallest` pixels a side."""
    if len(features) != 3 or min(features[1:]) < smallest:
        raise ValueError(
            f"{name} needs inputs of (channels, height, width) with sides of at least {smallest} pixels, "
            f"got {features}: use the mlp for this dataset"
        )
