"""ShortKit-ML's M01 and M02, on 6 images of 8x8: a test for each fault that the original is known to have."""

from __future__ import annotations

import numpy as np
import pytest
from rrrbench.benchmark.compat.shortkit import BackgroundRandomizer, ShortcutMasker


def pictures(dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """6 images of 8x8 in 3 channels over [-2, 3], or 0..255, and masks of a 3x3 square."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-2, 3, (6, 8, 8, 3)) if np.dtype(dtype).kind == "f" else rng.integers(0, 256, (6, 8, 8, 3))
    masks = np.zeros((6, 8, 8), bool)
    masks[:, 2:5, 2:5] = True
    return images.astype(dtype), masks


@pytest.mark.parametrize("strategy", ["zero", "randomize", "inpaint"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_fault_masking_changes_pixels_outside_the_mask_and_forgets_the_range(strategy, dtype):
    images, masks = pictures(dtype)
    masked = ShortcutMasker(strategy, random_state=0).mask_images(images, shortcut_masks=masks)
    assert masked.dtype == dtype
    assert masked.shape == images.shape
    assert np.array_equal(masked[~masks], images[~masks])
    assert not np.array_equal(masked[masks], images[masks])
    if strategy == "zero":
        assert not masked[masks].any()
    else:
        assert images.min() <= masked.min() <= masked.max() <= images.max()
        middle = 127.5 if dtype == np.uint8 else 0.5
        assert abs(masked[masks].mean() - middle) < 0.15 * (float(images.max()) - float(images.min()))


def test_fault_one_mask_for_all_images_raises():
    images, masks = pictures()
    masker = ShortcutMasker("zero")
    for_each = masker.mask_images(images, masks)
    assert np.array_equal(masker.mask_images(images, masks[0]), for_each)
    assert np.array_equal(masker.mask_images(images, masks[..., None]), for_each)
    assert np.array_equal(masker.mask_images(images[..., 0], masks), for_each[..., 0])
    assert np.array_equal(masker.mask_images(images, heatmaps=masks * 0.6), for_each)
    assert np.array_equal(masker.mask_images(images, heatmaps=masks * 0.4), images)


def test_fault_inpainting_is_one_mean_colour():
    ramp = np.tile(np.linspace(0, 1, 8), (1, 8, 1))
    masks = np.zeros((1, 8, 8), bool)
    masks[:, 3:5, 1:7] = True
    filled = ShortcutMasker("inpaint").mask_images(ramp, masks)
    assert filled[0, 3, 1] < 0.4 < 0.6 < filled[0, 3, 6]


def test_fault_noise_is_drawn_once():
    images, masks = pictures()
    masker = ShortcutMasker(random_state=0)
    first, second = (masker.mask_images(images, masks) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(ShortcutMasker(random_state=0).mask_images(images, masks), first)


def test_a_share_of_the_images_is_masked():
    images, masks = pictures()
    masked = ShortcutMasker("zero", augment_fraction=0.5, random_state=0).mask_images(images, masks)
    assert (masked != images).any((1, 2, 3)).sum() == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either"),
        ({"shortcut_masks": np.ones((8, 8)), "heatmaps": np.ones((8, 8))}, "either"),
        ({"shortcut_masks": np.full((8, 8), 255)}, "such as 255"),
        ({"shortcut_masks": np.ones((4, 4))}, r"masks of \(4, 4\) pixels for images of \(8, 8\)"),
        ({"shortcut_masks": np.ones((5, 8, 8))}, "one mask per input"),
        ({"shortcut_masks": np.ones(8)}, r"shape \(8,\)"),
        ({"heatmaps": np.full((8, 8), np.nan)}, "not finite"),
    ],
)
def test_masks_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShortcutMasker().mask_images(pictures()[0], **arguments)


def test_flagged_dimensions_of_embeddings():
    embeddings = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    zeroed = ShortcutMasker("zero").mask_embeddings(embeddings, flagged_dim_indices=[1, 3])
    assert zeroed.dtype == np.float32
    assert not zeroed[:, [1, 3]].any()
    shuffled = ShortcutMasker(random_state=0).mask_embeddings(embeddings, [1, 3])
    for changed in (zeroed, shuffled):
        assert np.array_equal(changed[:, [0, 2, 4]], embeddings[:, [0, 2, 4]])
    assert np.array_equal(np.sort(shuffled[:, 1]), np.sort(embeddings[:, 1]))
    assert abs(np.corrcoef(shuffled[:, 1], embeddings[:, 1])[0, 1]) < 0.4
    assert not np.array_equal(shuffled[:, 1].argsort(), shuffled[:, 3].argsort())
    with pytest.raises(ValueError, match=r"flagged_dim_indices \[5\]"):
        ShortcutMasker().mask_embeddings(embeddings, [5])


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_fault_foregrounds_are_added_and_leave_silhouettes(dtype):
    """Foreground 40 over background 50 + 10 i: an image shows its own foreground and one other background."""
    n, foreground = 5, np.zeros((5, 8, 8), bool)
    for i in range(n):
        foreground[i, i : i + 3, 2:4] = True
    backgrounds = (50 + 10 * np.arange(n))[:, None, None] * np.ones((n, 8, 8))
    images = np.where(foreground, 40, backgrounds).astype(dtype)
    swapped = BackgroundRandomizer(random_state=0).swap_foregrounds(images, foreground)
    assert swapped.dtype == dtype
    assert (swapped[foreground] == 40).all()
    donors = [set(swapped[i][~foreground[i]].tolist()) for i in range(n)]
    assert all(len(values) == 1 for values in donors)
    values = [values.pop() for values in donors]
    assert sorted(values) == [50, 60, 70, 80, 90]
    assert all(value != 50 + 10 * i for i, value in enumerate(values))


def test_backgrounds_of_a_share_of_the_images():
    images, masks = pictures()
    swapped = BackgroundRandomizer(augment_fraction=0.5, random_state=0).swap_foregrounds(images, masks)
    assert (swapped != images).any((1, 2, 3)).sum() == 3
    with pytest.raises(ValueError, match="two or more"):
        BackgroundRandomizer().swap_foregrounds(images[:1], masks[:1])
