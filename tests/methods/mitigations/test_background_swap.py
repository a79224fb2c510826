from __future__ import annotations

import torch
from masked_copies import copies
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.background_swap import BackgroundSwap


def test_a_background_is_pasted_without_its_owners_silhouette():
    # donor: a foreground of 1s in the middle column before .2 at the left and .4 at the right
    donor = torch.tensor([[0.2, 1.0, 0.4], [0.2, 1.0, 0.4]])
    receiver = torch.tensor([[0.7, 0.7, 0.7], [0.9, 0.9, 0.9]])  # its foreground is the lower row
    masks = torch.tensor([[[True, False, True], [True, False, True]], [[True] * 3, [False] * 3]])
    batch = Batch(torch.stack([donor, receiver])[:, None], torch.tensor([0, 1]), masks[:, None], torch.tensor([0, 1]))
    pasted = copies(BackgroundSwap(), batch)[:, 0]
    torch.testing.assert_close(pasted[1], torch.tensor([[0.2, 0.3, 0.4], [0.9, 0.9, 0.9]]))
    torch.testing.assert_close(pasted[0], torch.tensor([[0.7, 1.0, 0.7], [0.7, 1.0, 0.7]]))


def test_backgrounds_come_from_other_inputs_with_a_mask():
    inputs = torch.linspace(0, 0.7, 8).view(8, 1, 1, 1).expand(8, 1, 2, 2).clone()
    masks = torch.ones(8, 1, 2, 2, dtype=torch.bool)
    masks[6:] = False
    batch = Batch(inputs, torch.zeros(8).long(), masks, torch.zeros(8).long())
    pasted = copies(BackgroundSwap(), batch)
    assert (pasted[:6] != inputs[:6]).all()
    torch.testing.assert_close(pasted[:6, 0, 0, 0].sort().values, inputs[:6, 0, 0, 0])
    assert torch.equal(pasted[6:], inputs[6:])
