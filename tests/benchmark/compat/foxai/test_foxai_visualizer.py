"""FoXAI's figures."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from rrrbench.benchmark.compat.foxai.visualizer import (
    draw_image,
    mean_channels_visualization,
    single_channel_visualization,
    visualize_metric,
)

IMAGE = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(1))


def drawn(figure):
    """The image and the heat of a figure."""
    return [np.asarray(image.get_array()) for image in figure.axes[0].get_images()]


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_scaled_to_its_own_values(channels):
    (picture,) = drawn(draw_image(IMAGE[:channels] * 5 - 2, title="t"))
    assert picture.shape == (8, 6, 3)
    assert (picture.min(), picture.max()) == (0, 1)


def test_the_heat_is_the_mean_of_channels_enlarged_and_scaled():
    attributions = torch.zeros(2, 4, 3)
    attributions[0, 0, 0], attributions[1, 3, 2] = 2.0, -5.0
    picture, heat = drawn(mean_channels_visualization(attributions, IMAGE))
    assert picture.shape == (8, 6, 3)
    assert heat.shape == (8, 6)
    assert heat[0, 0] == 1
    assert heat[7, 5] == 0  # negative attributions are zero
    _, signed = drawn(mean_channels_visualization(attributions, IMAGE, only_positive_attr=False))
    assert signed[7, 5] == 0
    assert signed[0, 0] == 1
    assert 0.6 < signed[4, 0] < 0.8  # zero lies between -2.5 and 1


def test_one_channel_is_drawn_alone():
    attributions = torch.rand(3, 8, 6)
    _, heat = drawn(single_channel_visualization(attributions, IMAGE, 1))
    _, wanted = drawn(mean_channels_visualization(attributions[1], IMAGE))
    assert np.array_equal(heat, wanted)


def test_figures_are_drawn_into_given_axes():
    figure = Figure()
    first, second = figure.subplots(2)
    assert draw_image(IMAGE, ax=first) is figure
    assert mean_channels_visualization(IMAGE, IMAGE, ax=second, title="heat") is figure
    assert second.get_title() == "heat"


def test_constant_values_are_black_and_no_warning():
    picture, heat = drawn(mean_channels_visualization(torch.ones(1, 8, 6), torch.full((1, 8, 6), 3.0)))
    assert not picture.any()
    assert not heat.any()


@pytest.mark.parametrize("curve", [[(0.0, 0.9), (0.5, 0.2), (1.0, 0.1)], [0.9, 0.2, 0.1]])
def test_a_metric_s_curve(curve):
    figure = visualize_metric(curve, 0.35, metric_type="Insertion")
    (line,) = figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == [0, 0.5, 1]
    assert line.get_ydata().tolist() == [0.9, 0.2, 0.1]
    assert figure.axes[0].get_title() == "Insertion: 0.3500"


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: single_channel_visualization(IMAGE, IMAGE, 3), r"selected_channel = 3, expected 0\.\.2"),
        (lambda: single_channel_visualization(IMAGE, IMAGE, -1), "selected_channel = -1"),
        (lambda: mean_channels_visualization(IMAGE[None], IMAGE), r"\(1, 3, 8, 6\): give those of one image"),
        (
            lambda: mean_channels_visualization(IMAGE, IMAGE[None]),
            r"the image has shape \(1, 3, 8, 6\): give one image",
        ),
        (lambda: draw_image(IMAGE[:2]), r"\(2, 8, 6\): give one image of \(1 or 3 channels"),
        (lambda: draw_image(IMAGE * math.nan), "the image's values hold NaN"),
        (lambda: mean_channels_visualization(IMAGE * math.nan, IMAGE), "attributions hold NaN"),
        (lambda: visualize_metric([], 0.0), "importance_lst is empty"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
