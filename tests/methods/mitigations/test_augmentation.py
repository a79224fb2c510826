"""Copies with other content in the mask: counterexamples, shortcut_masking, background_swap."""

from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.augmentation import donors
from rrrbench.methods.mitigations.background_swap import BackgroundSwap
from rrrbench.methods.mitigations.counterexamples import Counterexamples
from rrrbench.methods.mitigations.shortcut_masking import ShortcutMasking, inpaint, mean_where
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


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def copies(mitigation, batch: Batch) -> torch.Tensor:
    return mitigation.augment(batch, 3, generator()).draws["copies"]


def colour_batch(n: int = 8) -> Batch:
    """3x5x7 inputs; squares of two sizes, one mask for all channels; the last two inputs have none."""
    masks = torch.zeros(n, 1, 5, 7, dtype=torch.bool)
    for i in range(n - 2):
        size = 2 + i % 2
        masks[i, :, i % 3 : i % 3 + size, i % 4 : i % 4 + size] = True
    labels = torch.arange(n) % 3
    return Batch(torch.rand(n, 3, 5, 7, dtype=torch.float64, generator=generator(1)), labels, masks, labels)


def flat_batch() -> Batch:
    batch = small_dataset().train.batch()
    return batch._replace(inputs=batch.inputs.flatten(1).double(), masks=batch.masks.flatten(1))


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
def test_the_copies_error_is_a_mean_over_all_inputs_in_which_those_without_a_mask_count_0(mitigation):
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


def corners() -> Batch:
    """Two inputs, each 3x3 with a 2x1 region: the left one's shows .1 and .2, the right one's .3 and .4."""
    inputs = torch.full((2, 1, 3, 3), 0.9)
    masks = torch.zeros(2, 1, 3, 3, dtype=torch.bool)
    masks[0, 0, :2, 0] = True
    masks[1, 0, 1:, 2] = True
    inputs[0, 0, :2, 0] = torch.tensor([0.1, 0.2])
    inputs[1, 0, 1:, 2] = torch.tensor([0.3, 0.4])
    return Batch(inputs, torch.tensor([0, 1]), masks, torch.tensor([0, 1]))


def test_counterexamples_swap_pastes_the_region_of_another_input_into_this_ones_place():
    swapped = copies(Counterexamples(region="swap"), corners())
    torch.testing.assert_close(swapped[0, 0, :2, 0], torch.tensor([0.3, 0.4]))
    torch.testing.assert_close(swapped[1, 0, 1:, 2], torch.tensor([0.1, 0.2]))


def test_a_region_without_a_partner_of_its_size_stays():
    batch = corners()
    batch.masks[0, 0, 2, 0] = True
    assert torch.equal(copies(Counterexamples(region="swap"), batch), batch.inputs)


def test_noise_is_one_number_a_feature_over_all_of_the_range():
    batch = Batch(torch.zeros(400, 3, 2, 2), torch.zeros(400).long(), torch.ones(400, 1, 2, 2).bool(), torch.zeros(400))
    noise = copies(Counterexamples(), batch)
    assert noise.unique().numel() > 4700  # of 4800 draws from 2^24 numbers
    # the mean of 4800 from U(0, 1) has standard error 0.29 / sqrt(4800) = 0.0042; the variance is 1/12
    assert noise.mean().item() == pytest.approx(0.5, abs=0.017)
    assert noise.var().item() == pytest.approx(1 / 12, rel=0.06)


def test_the_mean_is_of_the_inputs_other_pixels_by_channel():
    image = torch.tensor([[[0.2, 0.4], [0.9, 0.6]], [[0.0, 0.5], [0.9, 1.0]]]).view(1, 2, 2, 2)
    masks = torch.tensor([[False, False], [True, False]]).view(1, 1, 2, 2)
    filled = copies(ShortcutMasking(fill="mean"), Batch(image, torch.tensor([0]), masks, torch.tensor([0])))
    torch.testing.assert_close(filled[0, :, 1, 0], torch.tensor([0.4, 0.5]))
    assert mean_where(image, torch.zeros_like(masks)).flatten().tolist() == [0, 0]


def test_inpainting_by_hand():
    """The 2x2 hole of a 4x4 image is the mean of the other three squares' means; a hole of one pixel, of its square's
    other three."""
    image = torch.arange(16, dtype=torch.float64).view(1, 1, 4, 4) / 16
    known = torch.ones_like(image)
    known[..., :2, :2] = 0
    squares = torch.tensor([(2 + 3 + 6 + 7) / 4, (8 + 9 + 12 + 13) / 4, (10 + 11 + 14 + 15) / 4]) / 16
    filled = inpaint(image, known)
    torch.testing.assert_close(filled[..., :2, :2], squares.mean().double().expand(1, 1, 2, 2))
    known[..., 0, 0], known[..., 0, 1], known[..., 1, 0], known[..., 1, 1] = 1, 1, 1, 0
    torch.testing.assert_close(inpaint(image, known)[0, 0, 1, 1].item(), (0 + 1 + 4) / 3 / 16)


def test_what_is_hidden_does_not_shine_through_inpainting():
    batch = colour_batch()
    shown = torch.where(batch.masks, 1.0, batch.inputs), torch.where(batch.masks, 0.0, batch.inputs)
    bright, dark = (copies(ShortcutMasking(fill="inpaint"), batch._replace(inputs=inputs)) for inputs in shown)
    assert torch.equal(bright, dark)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 7), (8, 8)])
def test_inpainting_a_flat_image_of_any_size_changes_nothing(size):
    known = (torch.rand(4, 1, *size, generator=generator(3)) < 0.3).float()
    known[:, :, 0, 0] = 1
    torch.testing.assert_close(inpaint(torch.full((4, 1, *size), 0.3), known), torch.full((4, 1, *size), 0.3))
    assert (inpaint(torch.full((4, 1, *size), 0.3), torch.zeros_like(known)) == 0).all()


def test_inpainting_needs_images():
    with pytest.raises(ValueError, match=r"needs images, these inputs have shape \(36,\): use fill='mean'"):
        copies(ShortcutMasking(fill="inpaint"), flat_batch())


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
