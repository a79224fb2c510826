"""Promises of all mitigations of the registry, beside the five laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rrrbench.methods.base import Mitigation, mitigations
from small import small_dataset, small_trainer


def needing_a_minority() -> list[str]:
    return [name for name in mitigations.names() if mitigations.resolve(name).needs_minority]


@pytest.mark.parametrize("name", needing_a_minority())
def test_without_a_minority_there_is_nothing_to_learn_from(name):
    mitigation, module = mitigations.resolve(name), small_trainer().modules[0]
    assert "there is no minority group" in mitigation.obstacle(small_dataset(correlation=1.0), module)
    dataset = small_dataset(correlation=0.5)
    assert mitigation.obstacle(dataset, module) == ""
    unvalued = replace(dataset, train=replace(dataset.train, shortcuts=torch.full_like(dataset.train.shortcuts, -1)))
    assert "name a column of shortcut values" in mitigation.obstacle(unvalued, module)


@pytest.mark.parametrize("name", mitigations.names())
def test_a_published_strength_is_the_strength_of_a_method_that_has_any(name):
    published = mitigations.resolve(name).published_strength
    assert published is None or (mitigations[name].has_strength and published > 0)


@pytest.mark.parametrize("needs", ["masks", {"masks"}, frozenset({"maskz"})])
def test_needs_are_known_supervision(needs):
    with pytest.raises(TypeError, match=r"Own\.needs = .*: expected a frozenset of masks, core, groups, twins"):
        type("Own", (Mitigation,), {"__module__": __name__, "needs": needs, "name": "own"})
