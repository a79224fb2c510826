"""Copies with other content in the mask: promises of counterexamples, shortcut_masking and background_swap."""

from __future__ import annotations

import pytest
import torch
from masked_copies import colour_batch, copies, flat_batch, generator
from rrrbench.methods.augmentation import donors
from rrrbench.methods.mitigations.background_swap import BackgroundSwap
from rrrbench.methods.mitigations.counterexamples import Counterexamples
from rrrbench.methods.mitigations.shortcut_masking import ShortcutMasking
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
