"""Choices among candidates are those of torch.multinomial, whose numbers finished runs have."""

from __future__ import annotations

import pytest
import torch
from pretend_device import to_host, waits
from rrrbench.methods.choosing import choose_candidate, choose_candidates


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def candidates():
    some = torch.rand(64, 40, generator=generator(1)) < 0.3
    some[:, 7] = True
    some[0] = torch.arange(40) == 3
    return some


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("seed", range(5))
def test_several_are_chosen_as_by_multinomial(candidates, seed, count):
    expected = candidates.float().multinomial(count, replacement=True, generator=generator(seed))
    assert torch.equal(choose_candidates(candidates, count, generator(seed)), expected)
    assert (expected[0] == 3).all()


@pytest.mark.parametrize("seed", range(5))
def test_one_is_chosen_as_by_multinomial(candidates, seed):
    expected = candidates.float().multinomial(1, generator=generator(seed))[:, 0]
    assert torch.equal(choose_candidate(candidates, generator(seed)), expected)


def test_candidates_on_a_device_are_not_waited_for(pretend, candidates):
    there = candidates.to(pretend)
    with waits() as waited:
        several, one = choose_candidates(there, 4, generator()), choose_candidate(there, generator())
    assert not waited
    assert torch.equal(to_host(several), choose_candidates(candidates, 4, generator()))
    assert torch.equal(to_host(one), choose_candidate(candidates, generator()))
