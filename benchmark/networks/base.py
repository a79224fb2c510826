"""The structure of every network: a fixed pixel range, then features, then a head; no BatchNorm."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ...datasets.as_written import ValueRange
from ...datasets.base import ShortcutDataset
from ...datasets.registry import Named, Registry
from ...methods.network import PixelRange


class Network(nn.Module):
    """Computes logits by `head(features(x))`."""

    def __init__(self, features: OrderedDict[str, nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.features = nn.Sequential(features)
        self.head = head

    def forward(self, inputs: Tensor) -> Tensor:
        return self.head(self.features(inputs))


class NetworkRecipe(Named):
    """An architecture; its fields are its parameters.

    `pixel_range` is the range that the first learned layer sees: `unit` for [0, 1], `native` for the range in the
    dataset's paper, or (low, high). A fixed layer of the network maps inputs to this range: strengths keep their unit.
    """

    pixel_range: Literal["unit", "native"] | ValueRange = "unit"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Module]:
        """Makes the feature layers, without the pixel range, and the head; initialised from the global random state.

        Raises:
            ValueError: inputs of this shape do not fit the architecture.
        """
        raise NotImplementedError

    def gives_probabilities(self) -> bool:
        """Whether it ends in a softmax on purpose; another network that does is refused."""
        return False

    def files(self) -> tuple[Path, ...]:
        """The files that the network is made from, as far as they are there: weights, the user's own code."""
        return ()

    def untrained(self, dataset: ShortcutDataset, seed: int) -> Network:
        """Builds the network without given weights: all of it is drawn by the seed."""
        return self.build(dataset, seed)

    def build(self, dataset: ShortcutDataset, seed: int) -> Network:
        """Builds the network for this dataset, initialised by the seed; leaves the global random state unchanged."""
        ranges = {"unit": (0.0, 1.0), "native": dataset.native_range}
        low, high = ranges[self.pixel_range] if isinstance(self.pixel_range, str) else self.pixel_range
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            layers, head = self.layers(dataset.features, dataset.classes)
        return Network(OrderedDict(pixel_range=PixelRange(low, high), **layers), head)


networks: Registry[NetworkRecipe] = Registry("network", "rrrbench.benchmark.networks")


def require_image(name: str, features: tuple[int, ...], smallest: int) -> None:
    """Raises ValueError unless inputs are (channels, height, width) with sides of at least `smallest` pixels."""
    if len(features) != 3 or min(features[1:]) < smallest:
        raise ValueError(
            f"{name} needs inputs of (channels, height, width) with sides of at least {smallest} pixels, "
            f"got {features}: use the mlp for this dataset"
        )
