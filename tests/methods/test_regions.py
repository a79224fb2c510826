"""Exchange of masked regions, by hand."""

from __future__ import annotations

import torch
from rrrbench.methods.regions import exchange_regions

INPUTS = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
MASKS = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 1, 0]], dtype=torch.bool)


def swapped(count: int) -> torch.Tensor:
    return torch.arange(count).flip(0)


def test_regions_of_equal_size_are_exchanged_in_raster_order():
    exchanged = exchange_regions(INPUTS, MASKS, swapped)
    assert exchanged.tolist() == [[6, 8, 3, 4], [5, 1, 7, 2], [9, 10, 11, 12]]  # the third region has no partner


def test_the_inputs_stay_unchanged():
    before = INPUTS.clone()
    exchange_regions(INPUTS, MASKS, swapped)
    assert torch.equal(INPUTS, before)
