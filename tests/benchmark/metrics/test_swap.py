from __future__ import annotations

import torch
from rrrbench.benchmark.metrics.swap import swapped
from rrrbench.datasets.base import generator
from rrrbench.datasets.recipe import make


def test_everyone_gets_another_ones_region_and_nothing_else_changes():
    split = make("decoy", 0).validation
    after = swapped(split, generator(0, "test"))
    changed = split.inputs != after.inputs
    assert not (changed & ~split.masks).any()
    shade_before = (split.inputs * split.masks).flatten(1).amax(1)
    shade_after = (after.inputs * split.masks).flatten(1).amax(1)
    assert sorted(shade_before.tolist()) == sorted(shade_after.tolist())  # a permutation of the same regions
    assert ((after.inputs == shade_after[:, None, None, None]) | ~split.masks).all()  # whole, in whichever corner


def test_an_input_without_a_partner_keeps_its_region():
    split = make("decoy", 0).validation
    masks = torch.zeros_like(split.masks)
    masks[0, :, :3, :3] = True
    lonely = type(split)(split.inputs, split.labels, masks, split.shortcuts)
    assert torch.equal(swapped(lonely, generator(0, "test")).inputs, split.inputs)
