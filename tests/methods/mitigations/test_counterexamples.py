from __future__ import annotations

import torch
from masked_copies import copies
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.counterexamples import Counterexamples


def corners() -> Batch:
    """Two inputs, each 3x3 with a 2x1 region: the left one's shows .1 and .2, the right one's .3 and .4."""
    inputs = torch.full((2, 1, 3, 3), 0.9)
    masks = torch.zeros(2, 1, 3, 3, dtype=torch.bool)
    masks[0, 0, :2, 0] = True
    masks[1, 0, 1:, 2] = True
    inputs[0, 0, :2, 0] = torch.tensor([0.1, 0.2])
    inputs[1, 0, 1:, 2] = torch.tensor([0.3, 0.4])
    return Batch(inputs, torch.tensor([0, 1]), masks, torch.tensor([0, 1]))


def test_swap_pastes_the_region_of_another_input():
    swapped = copies(Counterexamples(region="swap"), corners())
    torch.testing.assert_close(swapped[0, 0, :2, 0], torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(swapped[1, 0, 1:, 2], torch.tensor([0.1, 0.2]))


def test_a_region_without_a_partner_of_its_size_stays():
    batch = corners()
    batch.masks[0, 0, 2, 0] = True
    assert torch.equal(copies(Counterexamples(region="swap"), batch), batch.inputs)
