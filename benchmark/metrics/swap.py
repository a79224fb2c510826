"""The masked regions of inputs, swapped among them: a shift that needs masks and no test data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ...datasets.base import Split
from ...methods.regions import exchange_regions


def swapped(split: Split, rng: np.random.Generator) -> Split:
    """Every input with the content of another one's masked region in its own.

    Regions are swapped among inputs whose masks have the same number of features, in raster order, so that a square
    from one corner fits into another corner. An input whose region has no partner of its size keeps its own.
    """

    def donors(count: int) -> Int[Tensor, "k"]:
        order = torch.from_numpy(rng.permutation(count))
        donors = torch.empty_like(order)
        donors[order] = order.roll(1)  # one cycle through all of them: nobody is its own donor
        return donors

    return replace(split, inputs=exchange_regions(split.inputs[:], split.masks[:], donors))
