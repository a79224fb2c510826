"""Exchanges masked regions among inputs whose regions are equally large."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from .choosing import moved


def mask_areas(masks: Bool[Tensor, "n *features"]) -> Int[Tensor, "n"]:
    """How many features each mask covers, on the CPU, which waits for a GPU's masks."""
    return masks.flatten(1).sum(1).cpu()


def exchange_regions(
    inputs: Shaped[Tensor, "n *features"],
    masks: Bool[Tensor, "n *#features"],
    donors: Callable[[int], Int[Tensor, "k"]],
    areas: Int[Tensor, "n"] | None = None,
) -> Shaped[Tensor, "n *features"]:
    """Pastes the content of each donor's masked region into the masked region of its recipient, in raster order.

    So a square in a corner of the donor fits into any corner of the recipient. A region without a partner of its size
    stays.

    Args:
        donors: from the number k of inputs with equally large regions to the index of each input's donor among the k.
        areas: `mask_areas`, where they are known.
    """
    flat, masked = inputs.flatten(1).clone(), masks.expand_as(inputs).flatten(1)
    areas = mask_areas(masks) if areas is None else areas
    expanded = masked.shape[1] // masks[:1].numel() if len(masks) else 1  # features for each entry of a mask
    for area in areas.unique().tolist():
        rows = (areas == area).nonzero()[:, 0]
        donor = moved(donors(len(rows)), flat.device)
        rows = moved(rows, flat.device)
        covered = masked[rows].nonzero_static(size=len(rows) * area * expanded)  # of a size that the CPU knows
        positions = covered[:, 1].view(len(rows), area * expanded)
        regions = flat[rows].gather(1, positions)
        flat[rows] = flat[rows].scatter(1, positions, regions[donor])
    return flat.view_as(inputs)
