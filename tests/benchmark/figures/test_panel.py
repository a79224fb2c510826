"""The saliency panel: the mask's outline, labels and predictions, and a frame round what is wrong."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from rrrbench.benchmark.figures import panel
from rrrbench.benchmark.figures.images import OUTLINE, outline, size_of
from rrrbench.benchmark.figures.panel import Look, saliency_panel


@pytest.fixture
def drawn(monkeypatch):
    """The axes of a panel of two inputs, of which ERM gets the second wrong."""
    figures = []
    monkeypatch.setattr(panel, "Figure", lambda **given: figures.append(Figure(**given)) or figures[0])
    inputs, masks = torch.rand(2, 1, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    masks[..., 1:3, 1:3] = True
    looks = {name: Look(torch.randn(2, 1, 4, 4), torch.tensor(said)) for name, said in
             {"ERM": [3, 5], "strength 1": [3, 4]}.items()}  # fmt: skip
    png = saliency_panel(inputs, masks, torch.tensor([3, 4]), looks, "title")
    assert Image.open(BytesIO(png)).format == "PNG"
    return np.array(figures[0].axes).reshape(2, 3)


def test_what_is_said_below_each_image(drawn):
    assert [axis.get_title() for axis in drawn[0]] == ["input, mask outlined", "ERM", "strength 1"]
    assert [axis.get_xlabel() for axis in drawn[1]] == ["label 4", "predicts 5", "predicts 4"]


def test_a_wrong_prediction_alone_has_a_coloured_frame(drawn):
    widths = [[axis.spines["top"].get_linewidth() > 1 for axis in row] for row in drawn]
    assert widths == [[False, False, False], [False, True, False]]


def test_every_image_has_the_outline_of_the_mask(drawn):
    for axis in drawn.flat:
        (lines,) = axis.collections
        assert len(lines.get_segments()) == 8
        assert lines.get_edgecolor()[0, :3] == pytest.approx([int(OUTLINE[i : i + 2], 16) / 255 for i in (1, 3, 5)])


def test_the_outline_of_a_pixel_is_a_square_round_it():
    mask = np.zeros((3, 3), bool)
    mask[1, 2] = True
    edges = {tuple(map(tuple, edge)) for edge in outline(mask).tolist()}
    assert edges == {
        ((1.5, 0.5), (1.5, 1.5)),
        ((2.5, 0.5), (2.5, 1.5)),
        ((1.5, 0.5), (2.5, 0.5)),
        ((1.5, 1.5), (2.5, 1.5)),
    }
    assert len(outline(np.zeros((3, 3), bool))) == 0


def test_an_attribution_is_a_share_of_its_largest_entry():
    values = torch.tensor([[[1.0, -2.0]], [[1.0, -2.0]]])
    np.testing.assert_allclose(size_of(values), [[0.5, 1.0]])
    np.testing.assert_array_equal(size_of(torch.zeros(4)), np.zeros((1, 4)))


@pytest.mark.parametrize("columns", [1, 4])
def test_a_long_title_is_whole(monkeypatch, columns):
    figures = []
    monkeypatch.setattr(panel, "Figure", lambda **given: figures.append(Figure(**given)) or figures[0])
    images = torch.rand(2, 1, 4, 4)
    looks = {f"strength {i}": Look(images, torch.tensor([3, 4])) for i in range(columns)}
    title = "decoy-digits, mlp[pixel_range=[0.0,16.0]], find_another_explanation: |input gradient|"
    saliency_panel(images, torch.zeros(2, 1, 4, 4).bool(), torch.tensor([3, 4]), looks, title)
    (figure,) = figures
    whole = figure._suptitle.get_window_extent()
    assert whole.x0 >= 0
    assert whole.x1 <= figure.bbox.x1
    assert whole.y0 >= max(axis.title.get_window_extent().y1 for axis in figure.axes)
    assert whole.y1 <= figure.bbox.y1
