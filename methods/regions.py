"""Exchanges masked regions among inputs whose regions are equally large."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Int, Shaped
from torch import Tensor


def exchange_regions(
    inputs: Shaped[Tensor, "n *features"],
    masks: Bool[Tensor, "n *#features"],
    donors: Callable[[int], Int[Tensor, "k"]],
) -> Shaped[Tensor, "n *features"]:
    """Pastes the content of each donor's masked region into the masked region of its recipient, in raster order.

    So a square in a corner of the donor fits into any corner of the recipient. A region without a partner of its size
    stays.

    Args:
        donors: from the number k of inputs with equally large regions to the index of each input's donor among the k.
    """
    flat, masked = inputs.flatten(1).clone(), masks.expand_as(inputs).flatten(1)
    areas = masked.sum(1)
    for area in areas.unique().tolist():
        rows = (areas == area).nonzero()[:, 0]
        positions = masked[rows].nonzero()[:, 1].view(len(rows), area)
        regions = flat[rows].gather(1, positions)
        flat[rows] = flat[rows].scatter(1, positions, regions[donors(len(rows)).to(regions.device)])
    return flat.view_as(inputs)
