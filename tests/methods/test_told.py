from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.conformance import laws
from rrrbench.methods.base import mitigations
from rrrbench.methods.mitigations.gradmask import GradMask
from rrrbench.methods.told import ToldWhere
from small import small_dataset

TOLD = [name for name in mitigations.names() if issubclass(mitigations[name], ToldWhere)]
OUTSIDE = [mitigations.resolve({"name": name, "told": "outside core"}) for name in TOLD]


def test_outside_the_core_all_is_forbidden_and_nothing_without_a_core():
    batch = small_dataset().train.batch()
    core = batch.core.clone()
    core[3] = False
    told = GradMask(told="outside core").forbidding(batch._replace(core=core, touched=torch.tensor([0])))
    assert not told.masks[3].any()
    others = torch.arange(24) != 3
    assert torch.equal(told.masks[others], ~core[others])
    assert told.touched is None  # the positions of shortcut masks say nothing of these


def test_the_shortcuts_mask_is_the_default():
    batch = small_dataset().train.batch()
    assert GradMask().forbidding(batch) is batch


def test_what_is_told_decides_what_is_needed():
    assert GradMask().needs == {"masks"}
    assert GradMask(told="outside core").needs == {"core"}


def test_a_batch_without_core_masks_is_refused():
    batch = small_dataset().train.batch()._replace(core=None)
    with pytest.raises(ValueError, match="without core masks: pass told='shortcut'"):
        GradMask(told="outside core").forbidding(batch)


@pytest.mark.long
@pytest.mark.parametrize(
    "mitigation",
    [OUTSIDE[0], *(pytest.param(one, marks=pytest.mark.slow) for one in OUTSIDE[1:])],
    ids=lambda m: m.name,
)
def test_an_empty_core_mask_is_erm(mitigation):
    laws.an_empty_mask_is_erm(mitigation)


@pytest.mark.slow
@pytest.mark.parametrize("mitigation", OUTSIDE, ids=lambda mitigation: mitigation.name)
def test_the_other_laws_hold_outside_the_core(mitigation):
    for law in laws.laws(mitigation).values():
        law(mitigation)
