import numpy as np
import pytest
import torch
from rendering import assert_share, rendered, small
from rrrbench.datasets import sources
from rrrbench.datasets.base import ENVIRONMENTS
from rrrbench.datasets.recipe import datasets
from rrrbench.datasets.registry import BadParameters

CORNERS = [(row, column) for row in (0, 1) for column in (0, 1)]


def corner(images, row, column, size):
    """The size x size corner of each image: row 0 is the top, 1 the bottom."""
    height, width = images.shape[2:]
    return images[:, :, row * (height - size) :, column * (width - size) :][:, :, :size, :size]


@pytest.mark.parametrize("environment", ENVIRONMENTS[:-1])
def test_ross_overwrites_one_4x4_corner_with_the_shade_of_its_value(environment):
    dataset = rendered(small(name="decoy"))
    split = dataset.test(environment)
    clean = dataset.test("clean").inputs
    covered = torch.zeros(len(split), dtype=torch.int64)
    for row, column in CORNERS:
        here = corner(split.masks, row, column, 4).flatten(1).all(1)
        covered += here
        shade = (255 - 25 * split.shortcuts[here])[:, None, None, None]
        assert (corner(split.inputs[here], row, column, 4) == shade).all()
        assert_share(here, 1 / 4)  # two fair coins
    assert (covered == 1).all()
    assert (split.masks.flatten(1).sum(1) == 16).all()
    assert torch.equal(split.inputs * ~split.masks, clean * ~split.masks)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_faint_is_ross_with_a_quarter_of_the_brightness_in_the_square(environment):
    ross, faint = (rendered(small(name="decoy", variant=variant)).test(environment) for variant in ("ross", "faint"))
    assert torch.equal(faint.masks, ross.masks)
    assert torch.equal(faint.shortcuts, ross.shortcuts)
    assert torch.equal(faint.inputs, torch.where(ross.masks, ross.inputs // 4, ross.inputs))


def test_the_corner_does_not_depend_on_the_class_in_training():
    train = rendered(small(name="decoy")).train
    top = train.masks[:, 0, 0].any(1)
    for k in range(10):
        assert_share(top[train.labels == k], 1 / 2)


def test_clean_images_are_the_base():
    base = sources.load("digits")
    clean = rendered(small(name="decoy")).test("clean")
    np.testing.assert_array_equal(clean.inputs.numpy(), base.test_inputs)
    np.testing.assert_array_equal(clean.labels.numpy(), base.test_labels)


def test_cdep_paints_one_5x5_corner_and_masks_all_four():
    dataset = rendered(small(name="decoy", variant="cdep"))
    split, clean = dataset.test("aligned"), dataset.test("clean")
    mask = torch.zeros(28, 28, dtype=torch.bool)
    for rows in (slice(0, 5), slice(23, 28)):
        mask[rows, :5] = mask[rows, 23:] = True
    assert (split.masks == mask).all()
    shade = (255 - 25 * split.labels)[:, None, None, None]
    painted = torch.stack([(corner(split.inputs, *at, 5) == shade).flatten(1).all(1) for at in CORNERS], 1)
    kept = [(corner(split.inputs, *at, 5) == corner(clean.inputs, *at, 5)).flatten(1).all(1) for at in CORNERS]
    assert ((painted.sum(1) == 1) & (torch.stack(kept, 1) ^ painted).all(1)).all()


def test_cdep_reversed_has_the_papers_test_shade_of_25_times_the_class():
    split = rendered(small(name="decoy", variant="cdep")).test("reversed")
    shade = (25 * split.labels)[:, None, None, None]
    assert torch.stack([(corner(split.inputs, *at, 5) == shade).flatten(1).all(1) for at in CORNERS]).any(0).all()


def test_half_squeezes_the_image_and_fills_the_other_half():
    dataset = rendered(small(name="decoy", variant="half"))
    base = torch.from_numpy(sources.load("digits").test_inputs.copy()).int()
    squeezed = (base[:, :, 0::2] + base[:, :, 1::2]).add(1).div(2, rounding_mode="floor")
    for split in dataset.environments.values():
        below = dataset.test("aligned").masks[:, 0, -1, 0]
        top, bottom = split.inputs[:, :, :14].int(), split.inputs[:, :, 14:].int()
        image = torch.where(below[:, None, None, None], top, bottom)
        fill = torch.where(below[:, None, None, None], bottom, top)
        assert torch.equal(image, squeezed)
        assert (fill == (25 * split.shortcuts.clamp(min=0))[:, None, None, None]).all()  # black in `clean`
    masks = dataset.test("aligned").masks
    assert (masks[:, 0, :14].flatten(1).all(1) ^ masks[:, 0, 14:].flatten(1).all(1)).all()
    assert (masks.flatten(1).sum(1) == 14 * 28).all()
    assert_share(below, 1 / 2)


def test_a_correlation_of_zero_is_no_shortcut():
    train = rendered(small(name="decoy", correlation=0)).train
    assert_share(train.shortcuts == train.labels, 1 / 10)


def test_rgb_bases_get_a_grey_square(npz):
    dataset = datasets.resolve({"name": "decoy", "base": npz(channels=3)}).make(0)
    split = dataset.test("aligned")
    assert split.masks.shape == (20, 1, 12, 12)
    square = split.inputs[split.masks.expand_as(split.inputs)].reshape(20, 3, 16)
    assert (square == (255 - 25 * split.labels)[:, None, None]).all()


@pytest.mark.parametrize(("variant", "native"), [("ross", (0, 255)), ("cdep", (-1, 1)), ("half", (0, 1))])
def test_the_native_range_is_the_papers(variant, native):
    assert rendered(small(name="decoy", variant=variant)).native_range == native


@pytest.mark.parametrize(
    ("spec", "size", "message"),
    [
        ({}, {"classes": 11}, "11 classes, but there are shades for 10"),
        ({}, {"side": 7}, "4x4 pixels do not fit into corners of 7x7"),
        ({"variant": "half"}, {"side": 13}, "height 13 have no halves"),
        ({"validation": 60}, {}, "validation = 60 leaves nothing of the 60 training inputs"),
        ({"annotated": 55}, {}, "annotated = 55, but there are 54 training inputs"),
    ],
)
def test_what_cannot_be_rendered_is_refused(npz, spec, size, message):
    with pytest.raises(BadParameters, match=message):
        datasets.resolve({"name": "decoy", "base": npz(**size), **spec}).make(0)


def test_an_unknown_base_is_refused_before_anything_runs():
    with pytest.raises(LookupError, match="no base is called 'fashion_mnist'; did you mean fashion-mnist"):
        datasets.resolve({"name": "decoy", "base": "fashion_mnist"})
