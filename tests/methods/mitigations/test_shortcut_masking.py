from __future__ import annotations

import pytest
import torch
from masked_copies import colour_batch, copies, flat_batch, generator
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.counterexamples import Counterexamples
from rrrbench.methods.mitigations.shortcut_masking import ShortcutMasking, inpaint, mean_where


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
