"""Copies with other content in the mask: promises of counterexamples, shortcut_masking and background_swap."""

from __future__ import annotations

import pytest
import torch
from masked_copies import colour_batch, copies, flat_batch, generator
from pretend_device import to_host, waits
from rrrbench.datasets.base import Batch
from rrrbench.methods.augmentation import donors, donors_among
from rrrbench.methods.mitigations.background_swap import BackgroundSwap
from rrrbench.methods.mitigations.counterexamples import Counterexamples
from rrrbench.methods.mitigations.shortcut_masking import ShortcutMasking
from rrrbench.methods.regions import mask_areas
from small import Linear, bound, small_dataset
from torch.nn import functional as F

FILLS = ("zero", "mean", "noise", "inpaint")
EVERY = [
    Counterexamples(),
    Counterexamples(region="swap"),
    *(ShortcutMasking(fill=fill) for fill in FILLS),
    BackgroundSwap(),
]


every = pytest.mark.parametrize("mitigation", EVERY, ids=lambda mitigation: mitigation.id)


BATCHES = {"grey": small_dataset().train.batch(), "colour": colour_batch(), "flat": flat_batch()}


@every
@pytest.mark.parametrize("kind", BATCHES)
def test_only_masked_pixels_change_and_all_stay_in_range(mitigation, kind):
    batch = BATCHES[kind]
    if mitigation.id == ShortcutMasking(fill="inpaint").id and kind == "flat":
        pytest.skip("inpainting needs images")
    before = batch.inputs.clone()
    changed = copies(mitigation, batch)
    assert torch.equal(batch.inputs, before)
    assert (changed.shape, changed.dtype) == (before.shape, before.dtype)
    differs = changed != before
    assert differs.any()
    assert not (differs & ~batch.masks).any()
    assert changed.min() >= 0
    assert changed.max() <= 1


@every
def test_draws_depend_on_the_generator_alone(mitigation):
    batch = colour_batch()
    first = copies(mitigation, batch)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        assert torch.equal(first, copies(mitigation, batch))
    other = mitigation.augment(batch, 3, generator(7)).draws["copies"]
    random = not isinstance(mitigation, ShortcutMasking) or mitigation.fill == "noise"
    assert torch.equal(first, other) != random


@every
def test_the_mean_error_of_copies_counts_inputs_without_a_mask_as_0(mitigation):
    batch, strength = colour_batch(), torch.tensor(0.7, dtype=torch.float64)
    weight = torch.randn(3, 105, dtype=torch.float64, generator=generator(2))
    batch = mitigation.augment(batch, 3, generator())
    terms = mitigation.terms(bound(Linear(weight)), batch, strength)
    errors = F.cross_entropy(batch.draws["copies"].flatten(1) @ weight.T, batch.labels, reduction="none")
    torch.testing.assert_close(terms.right_reason, strength * errors[:6].sum() / 8)
    torch.testing.assert_close(terms.right_answer, F.cross_entropy(batch.inputs.flatten(1) @ weight.T, batch.labels))


@pytest.mark.parametrize("count", [2, 3, 10, 57])
def test_nobody_is_its_own_donor_and_everybody_is_somebodys(count):
    for seed in range(20):
        chosen = donors(count, generator(seed))
        assert (chosen != torch.arange(count)).all()
        assert chosen.sort().values.tolist() == list(range(count))


def test_one_input_alone_is_its_own_donor_and_none_have_none():
    assert donors(1, generator()).tolist() == [0]
    assert donors(0, generator()).tolist() == []


@pytest.mark.parametrize("count", [0, 1, 2, 9, 12])
def test_the_chosen_give_to_each_other_in_one_cycle(count):
    for seed in range(20):
        chosen = torch.randperm(12, generator=generator(seed)) < count
        donor = donors_among(chosen, generator(seed))
        place, passed = int(chosen.long().argmax()), []
        for _ in range(count):
            place = int(donor[place])
            passed.append(place)
        assert sorted(passed) == chosen.nonzero()[:, 0].tolist()


def test_donors_among_all_are_the_donors_of_all():
    for seed in range(20):
        every = donors_among(torch.ones(10, dtype=torch.bool), generator(seed))
        assert torch.equal(every, donors(10, generator(seed)))


def test_donors_among_some_are_the_donors_of_so_many():
    chosen = torch.tensor([True, False, True, True])
    among = torch.tensor([0, 2, 3])
    for seed in range(20):
        donor = donors_among(chosen, generator(seed))
        assert torch.equal(donor[among], among[donors(3, generator(seed))])
        assert donor[1] == 1


@pytest.mark.parametrize("method", [BackgroundSwap(), Counterexamples(region="swap")])
def test_known_areas_change_no_copy_and_spare_the_wait(pretend, method):
    batch = flat_batch()
    batch = batch._replace(masks=batch.masks & (torch.arange(len(batch.labels)) % 3 > 0)[:, None])
    known = batch._replace(areas=mask_areas(batch.masks))
    there = Batch(*(values.to(pretend) if isinstance(values, torch.Tensor) else values for values in batch))
    expected = method.augment(batch, 3, generator()).draws["copies"]
    assert torch.equal(method.augment(known, 3, generator()).draws["copies"], expected)
    with waits() as waited:
        found = method.augment(there._replace(areas=known.areas), 3, generator()).draws["copies"]
    assert not waited
    assert torch.equal(to_host(found), expected)
    with waits() as waited:
        method.augment(there, 3, generator())
    assert waited  # areas are counted where nothing has said them
