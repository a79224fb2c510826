"""The masked regions of inputs, swapped among them: a shift that needs masks and no test data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..datasets.base import Split


def swapped(split: Split, rng: np.random.Generator) -> Split:
    """Every input with the content of another one's masked region in its own.

    Regions are swapped among inputs whose masks have the same number of features, in raster order, so that a square
    from one corner fits into another corner. An input whose region has no partner of its size keeps its own.
    """
    flat = split.inputs.flatten(1).clone()
    masks = split.masks.expand_as(split.inputs).flatten(1)
    areas = masks.sum(1)
    for area in areas.unique().tolist():
        rows = (areas == area).nonzero()[:, 0]
        positions = masks[rows].nonzero()[:, 1].view(len(rows), area)
        regions = flat[rows].gather(1, positions)
        order = torch.from_numpy(rng.permutation(len(rows)))
        donors = torch.empty_like(order)
        donors[order] = order.roll(1)  # one cycle through all of them: nobody is its own donor
        flat[rows] = flat[rows].scatter(1, positions, regions[donors])
    return replace(split, inputs=flat.view_as(split.inputs))
