import numpy as np
import pytest
import torch
from rendering import rendered, small
from rrrbench.datasets import sources
from rrrbench.datasets.recipe import datasets
from rrrbench.datasets.registry import BadParameters


def square(split):
    """The masked pixels, (n, channels, pixels)."""
    return split.inputs[split.masks.expand_as(split.inputs)].reshape(len(split), 3, -1)


def test_the_fixed_square_is_in_the_upper_left_corner():
    masks = rendered(small(name="colored-patch", size=5)).train.masks
    expected = torch.zeros(28, 28, dtype=torch.bool)
    expected[:5, :5] = True
    assert (masks == expected).all()


def test_random_squares_reach_every_place_and_are_whole():
    masks = rendered(small(name="colored-patch", size=24, position="random")).train.masks
    starts = [masks[:, 0].any(axis).int().argmax(1) for axis in (1, 2)]
    assert (masks.flatten(1).sum(1) == 24 * 24).all()
    for start in starts:
        assert (start.bincount(minlength=5) > 0).all()  # 28 - 24 + 1 = 5 places


def test_hues_are_evenly_spaced():
    recipe = small(name="colored-patch", colors=6)
    # six hues: the primaries and the secondaries in the order of the rainbow
    rainbow = [(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)]
    split = rendered(recipe).train
    assert torch.equal(split.shortcuts, split.labels % 6)
    expected = torch.tensor(rainbow, dtype=torch.uint8)[split.shortcuts]
    assert (square(split) == expected[:, :, None]).all()


def test_opacity_blends_colour_and_image():
    opaque, blended = (rendered(small(name="colored-patch", opacity=opacity)) for opacity in (1.0, 0.2))
    color = square(opaque.test("aligned")).double()
    under = blended.test("clean").inputs[blended.test("aligned").masks.expand(-1, 3, -1, -1)].reshape(color.shape)
    exact = 0.2 * color + 0.8 * under.double()  # 0.2 is 51 / 255: no rounding but the pixel's own
    assert (square(blended.test("aligned")).double() - exact).abs().max() <= 0.5


def test_grey_bases_become_rgb():
    clean = rendered(small(name="colored-patch")).test("clean").inputs.numpy()
    np.testing.assert_array_equal(clean, np.repeat(sources.load("digits").test_inputs, 3, axis=1))


@pytest.mark.parametrize(
    ("spec", "message"),
    [({"size": 13}, "13x13 pixels do not fit into images of 12x12"), ({"colors": 11}, "11 values for 10 classes")],
)
def test_what_cannot_be_rendered_is_refused(npz, spec, message):
    with pytest.raises(BadParameters, match=message):
        datasets.resolve({"name": "colored-patch", "base": npz(), **spec}).make(0)
    with pytest.raises(BadParameters, match="colors = 1"):
        small(name="colored-patch", colors=1)
