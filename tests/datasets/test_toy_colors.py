import numpy as np
import pytest
import torch
from rendering import rendered, small
from rrrbench.datasets.toy_colors import PALETTE, draw_images

ENVIRONMENTS = ("aligned", "random", "conflict", "reversed")


def indices(inputs):
    """Palette indices (n, 5, 5); fails on a colour that is not in the palette."""
    matches = (np.asarray(inputs)[:, None] == PALETTE[None, :, :, None, None]).all(axis=2)
    assert (matches.sum(axis=1) == 1).all()
    return matches.argmax(axis=1)


def corners_equal(pixels):
    corners = pixels[:, ::4, ::4].reshape(-1, 4)
    return (corners == corners[:, :1]).all(axis=1)


def middle_differs(pixels):
    return np.array([len(set(triple)) == 3 for triple in pixels[:, 0, 1:4].tolist()])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(("shortcut", "area"), [("corners", 4), ("top_middle", 3)])
def test_the_shortcut_rule_says_the_value_and_the_other_rule_the_label(shortcut, area, environment):
    split = rendered(small(name="toy-colors", shortcut=shortcut)).test(environment)
    pixels = indices(split.inputs)
    rules = {"corners": corners_equal(pixels), "top_middle": middle_differs(pixels)}
    np.testing.assert_array_equal(rules.pop(shortcut), split.shortcuts == 0)
    np.testing.assert_array_equal(*rules.values(), split.labels == 0)
    assert (split.masks.flatten(1).sum(1) == area).all()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_with_both_rules_the_shortcut_both_say_the_value(environment):
    split = rendered(small(name="toy-colors", shortcut="both")).test(environment)
    pixels = indices(split.inputs)
    for rule in (corners_equal, middle_differs):
        np.testing.assert_array_equal(rule(pixels), split.shortcuts == 0)
    assert (split.masks.flatten(1).sum(1) == 4 + 3).all()


def test_every_training_image_obeys_both_rules():
    dataset = rendered(small(name="toy-colors"))
    for split in (dataset.train, dataset.validation):
        pixels = indices(split.inputs)
        np.testing.assert_array_equal(corners_equal(pixels), split.labels == 0)
        np.testing.assert_array_equal(middle_differs(pixels), split.labels == 0)
        assert torch.equal(split.shortcuts, split.labels)


def test_pixels_that_no_rule_touches_are_uniform():
    n = 4000
    pixels = indices(draw_images(np.arange(n) % 2, np.random.default_rng(0)))
    counts = np.bincount(pixels[:, 1:4].ravel(), minlength=4)  # rows 1 to 3 have no rule
    draws = n * 3 * 5
    assert (abs(counts - draws / 4) < 4 * (draws * 3 / 16) ** 0.5).all()


def test_class_1_is_redrawn_in_a_top_corner_only():
    """Top right differs from bottom left in half of class 1, and by chance (3 in 4) in the other half: 7 in 8."""
    n = 4000
    pixels = indices(draw_images(np.ones(n, dtype=int), np.random.default_rng(0)))
    differs = (pixels[:, 0, 4] != pixels[:, 4, 0]).mean()
    assert abs(differs - 7 / 8) < 4 * (7 / 64 / n) ** 0.5


def test_sizes_are_the_papers_by_default_and_validation_a_tenth():
    dataset = rendered(small(name="toy-colors", train_inputs=20_000, test_inputs=20_000))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test("random"))) == (20_000, 2_000, 20_000)
    assert dataset.id == "toy-colors"
    assert dataset.native_range == (0, 255)
    assert "clean" not in dataset.environments
