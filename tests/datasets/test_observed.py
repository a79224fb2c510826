"""An npz with masks and shortcut values of its own: twins by exchange, or a refusal that says what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rrrbench.benchmark.conformance import dataset_laws
from rrrbench.datasets.recipe import Recipe, datasets
from rrrbench.datasets.sources import load

SIDE, CLASSES, TRAIN, TEST = 8, 3, 60, 48
LEFT, RIGHT = (slice(0, 2), slice(0, 2)), (slice(6, 8), slice(6, 8))
SHADE = 60


def arrays() -> dict[str, np.ndarray]:
    """Noise with a square in one of two corners, of shade 60 (1 + value); nine tenths of the values are the label."""
    rng, made = np.random.default_rng(0), {}
    for part, n in (("train", TRAIN), ("test", TEST)):
        labels, corner = np.arange(n) % CLASSES, np.arange(n) % 2
        values = np.where(np.arange(n) % 10 == 9, (labels + 1) % CLASSES, labels)
        images, masks = rng.integers(0, 50, (n, SIDE, SIDE), dtype=np.uint8), np.zeros((n, SIDE, SIDE), dtype=bool)
        for i in range(n):
            place = (LEFT, RIGHT)[corner[i]]
            images[i][place], masks[i][place] = SHADE * (1 + values[i]), True
        made |= {f"x_{part}": images, f"y_{part}": labels, f"masks_{part}": masks, f"shortcuts_{part}": values}
    return made


@pytest.fixture
def observed(tmp_path):
    """Writes the file, with some arrays replaced, and gives the recipe."""

    def write(**replaced) -> Recipe:
        content = arrays() | replaced
        path = tmp_path / "photos.npz"
        np.savez(path, **{name: array for name, array in content.items() if array is not None})
        return datasets.resolve({"name": "observed", "file": str(path)})

    return write


@pytest.mark.parametrize("law", dataset_laws.laws().values(), ids=dataset_laws.laws())
def test_it_keeps_the_laws(observed, law):
    law(observed())


def test_training_and_validation_are_the_files_own(observed):
    dataset, given = observed().make(0), arrays()
    assert len(dataset.train) == 54
    assert len(dataset.validation) == 6
    rows = {image.tobytes(): i for i, image in enumerate(given["x_train"])}
    for split in (dataset.train, dataset.validation):
        index = [rows[image.tobytes()] for image in split.inputs[:, 0].numpy()]
        assert split.labels.tolist() == given["y_train"][index].tolist()
        assert split.shortcuts.tolist() == given["shortcuts_train"][index].tolist()
        assert (split.masks[:, 0].numpy() == given["masks_train"][index]).all()


@pytest.mark.parametrize("environment", ["aligned", "random", "conflict", "reversed"])
def test_a_twin_shows_the_value_that_its_environment_says(observed, environment):
    split, given = observed().make(0).test(environment), arrays()
    assert (split.masks[:, 0].numpy() == given["masks_test"]).all(), "the mask says where, whatever the value"
    shade = split.inputs.where(split.masks, 0).flatten(1).amax(1)
    assert torch.equal(shade.long(), SHADE * (1 + split.shortcuts))
    outside = split.inputs[:, 0].numpy() != given["x_test"]
    assert not (outside & ~given["masks_test"]).any()


def test_an_input_whose_value_stays_is_as_in_the_file(observed):
    split, given = observed().make(0).test("aligned"), arrays()
    stays = split.shortcuts.numpy() == given["shortcuts_test"]
    assert 0.8 < stays.mean() < 1
    assert (split.inputs[:, 0].numpy()[stays] == given["x_test"][stays]).all()


def test_minority_is_what_the_file_says(observed):
    dataset = observed().make(0)
    assert torch.equal(dataset.minority, dataset.train.shortcuts != dataset.train.labels)
    assert dataset.minority.any()


def test_training_images_may_have_no_shortcut_and_colours_are_exchanged_whole(observed):
    given = arrays()
    masks, values = given["masks_train"].copy(), given["shortcuts_train"].copy()
    masks[:5], values[:5] = False, -1
    colours = {f"x_{part}": np.repeat(given[f"x_{part}"][..., None], 3, axis=3) for part in ("train", "test")}
    dataset = observed(masks_train=masks[..., None].astype(np.uint8), shortcuts_train=values, **colours).make(0)
    assert int((torch.cat([dataset.train.shortcuts, dataset.validation.shortcuts]) == -1).sum()) == 5
    shown = dataset.test("conflict")
    shade = shown.inputs.where(shown.masks, 0).flatten(2).amax(2)
    assert torch.equal(shade.long(), (SHADE * (1 + shown.shortcuts))[:, None].expand(-1, 3))


def test_it_is_named_by_the_files_stem_and_its_file_is_watched(observed):
    recipe = observed()
    assert recipe.id == "observed-photos"
    assert [path.name for path in recipe.files()] == ["photos.npz"]
    assert [stamp.path for stamp in recipe.stamps()] == [str(path) for path in recipe.files()]


def test_a_dataset_that_plants_refuses_masks_and_says_which_dataset_uses_them(observed):
    path = observed().file
    with pytest.raises(ValueError, match=r"has masks_train, .*shortcuts_test, which.*name = \"observed\", file"):
        load(f"npz:{path}")


def changed(name, index, value):
    """An array with some of its values replaced."""
    array = arrays()[name].copy()
    array[index] = value
    return {name: array}


def never(value):
    """Training values without one of them."""
    values = arrays()["shortcuts_train"].copy()
    values[values == value] = 0
    return {"shortcuts_train": values}


ONES = np.ones((TRAIN, SIDE, SIDE))
BAD = {
    "no masks": ({"masks_train": None}, "has no masks_train; it has"),
    "no test values": ({"shortcuts_test": None}, "has no shortcuts_test; it has"),
    "another array": ({"groups": np.zeros(3)}, "has groups, which nothing would use; known are .*masks_train"),
    "heatmaps": ({"masks_train": ONES}, r"masks_train is float64.*threshold, e\.g\. masks >= 0\.5"),
    "masks of text": ({"masks_train": np.full(ONES.shape, "1")}, "masks_train is <U1"),
    "masks of objects": ({"masks_train": np.full(ONES.shape, None)}, "masks_train holds Python objects.*np.bool_"),
    "masks of 255": ({"masks_train": arrays()["masks_train"] * np.uint8(255)}, "the value 255, expected 0 and 1.*> 0"),
    "masks of -1": ({"masks_train": -arrays()["masks_train"].astype(int)}, "masks_train has the value -1"),
    "masks of everything": (
        {"masks_test": ONES[:48] > 0}, "masks_test covers every pixel of all 48 images.*exchange True and False"
    ),
    "masks fewer": ({"masks_train": ONES[:9] > 0}, r"masks_train has shape \(9, 8, 8\), expected \(60, 8, 8\)"),
    "masks smaller": ({"masks_test": ONES[:48, :4] > 0}, r"masks_test has shape \(48, 4, 8\), expected \(48, 8, 8\)"),
    "masks with channels first": ({"masks_train": ONES[:, None] > 0}, r"masks_train has shape \(60, 1, 8, 8\)"),
    "a mask for all": ({"masks_train": ONES[0] > 0}, r"masks_train has shape \(8, 8\).*one mask for each image"),
    "values as floats": ({"shortcuts_train": np.zeros(60)}, "shortcuts_train is float64.*number the values.*-1"),
    "values as names": ({"shortcuts_test": np.full(48, "red")}, "shortcuts_test is <U3.*number the values"),
    "values as truth": ({"shortcuts_test": np.full(48, True)}, "shortcuts_test is bool"),
    "values fewer": ({"shortcuts_train": np.zeros(59, int)}, r"shape \(59,\), expected integers of shape \(60,\)"),
    "values one-hot": ({"shortcuts_train": np.eye(60, 3, dtype=int)}, r"shape \(60, 3\), expected integers"),
    "a value of -2": (changed("shortcuts_train", 7, -2), "shortcuts_train has the value -2, expected 0, 1"),
    "a value without a mask": (changed("masks_train", slice(3, 5), False), "image 3 has the value 0 and an empty mask"),
    "a mask without a value": (changed("shortcuts_train", 4, -1), "image 4 has a mask and the value -1"),
    "a test without a shortcut": (
        changed("masks_test", 6, False) | changed("shortcuts_test", 6, -1), "shortcuts_test is -1 for 1 images.*image 6"
    ),
    "a gap": (never(1), "shortcuts_train has the value 2 and no 1: number the values"),
    "an absurd value": (changed("shortcuts_train", 7, 2**62), "has the value 4611686018427387904 and no 3"),
    "tests of another value": (changed("shortcuts_test", 7, 3), "shortcuts_test has the value 3, which shortcuts"),
    "one value": (
        {"shortcuts_train": np.zeros(60, int), "shortcuts_test": np.zeros(48, int)}, "tells nothing of the class",
    ),
    "values that say nothing": ({"shortcuts_train": (np.arange(60) // 3) % 3}, "the shortcut tells nothing|commonest"),
    "no shortcut anywhere": (
        {"shortcuts_train": np.full(60, -1), "masks_train": ONES < 0}, "-1 for every image, so there is no shortcut"
    ),
    "a value of no class": (changed("shortcuts_train", 7, 3), "the value 3 is the commonest of no class"),
    "a tie": (
        {"shortcuts_train": np.where(np.arange(60) % 6 == 0, 1, np.arange(60) % 3)}, "class 0 has no commonest value"
    ),
    "places of their own": (changed("masks_test", (5, 4, 4), True), "has the shortcut value .* the mask of image 5"),
    "images that do not fit": ({"x_test": np.zeros((48, 9, 9), np.uint8)}, r"x_train and x_test differ|masks_test"),
    "labels from 1": ({f"y_{part}": arrays()[f"y_{part}"] + 1 for part in ("train", "test")}, "subtract 1"),
}  # fmt: skip


@pytest.mark.parametrize(("replaced", "message"), BAD.values(), ids=BAD)
def test_masks_and_values_that_do_not_fit_are_refused_with_the_way_out(observed, replaced, message):
    with pytest.raises(ValueError, match=message) as error:
        observed(**replaced).make(0)
    assert "photos.npz" in str(error.value)


def test_a_file_that_is_missing_is_said_with_the_places_looked_at():
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz is missing: looked for .* give its full path"):
        datasets.resolve({"name": "observed", "file": "nowhere.npz"}).make(0)
