"""The masked regions of inputs, exchanged among inputs whose regions are equally large."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def exchange_regions(
    inputs: Shaped[Tensor, "n *features"],
    masks: Bool[Tensor, "n *#features"],
    donors: Callable[[int], Int[Tensor, "k"]],
) -> Shaped[Tensor, "n *features"]:
    """Every input with the content of its donor's region in its own, in raster order.

    So a square from one corner fits into another corner; a region that has no partner of its size stays.

    Args:
        donors: for `k` inputs, which of them each one's region comes from.
    """
    flat, every = inputs.flatten(1).clone(), masks.expand_as(inputs).flatten(1)
    areas = every.sum(1)
    for area in areas.unique().tolist():
        rows = (areas == area).nonzero()[:, 0]
        positions = every[rows].nonzero()[:, 1].view(len(rows), area)
        regions = flat[rows].gather(1, positions)
        flat[rows] = flat[rows].scatter(1, positions, regions[donors(len(rows)).to(regions.device)])
    return flat.view_as(inputs)
