"""Insertion and deletion."""

import math

import numpy as np
import pytest
import torch
from foxai_network import INPUTS, as_id, model
from rrrbench.benchmark.compat.foxai.metrics import deletion, insertion
from torch import nn


class Share(nn.Module):
    """The probability of class 0 is the weighted sum of the pixels; remembers what it saw."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.seen = weights, []

    def forward(self, images):
        self.seen.append(images)
        share = (images * self.weights).sum((1, 2, 3)).clamp(1e-9, 1 - 1e-9)
        return torch.stack([share, 1 - share], 1).log()


def test_deletion_by_hand():
    """Pixels 1, 0, 0, 0 in one row, all weight on the first: p = 1, then 1/4, the image's mean, whatever else goes."""
    image, weights = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    best, curve = deletion(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), image, Share(weights), 0)
    assert [share for share, _ in curve] == [0, 0.25, 0.5, 0.75, 1]
    assert [p for _, p in curve] == pytest.approx([1, 0.25, 0.25, 0.25, 0.25], abs=1e-6)
    assert best == pytest.approx((1 + 0.25) / 2 / 4 + 0.25 * 3 / 4, abs=1e-6)
    worst, _ = deletion(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), image, Share(weights), 0)
    assert worst == pytest.approx(1 * 3 / 4 + (1 + 0.25) / 2 / 4, abs=1e-6)


def test_insertion_by_hand():
    """A kernel of one pixel blurs nothing, so p stays 1; a wide one spreads the pixel, and p comes back with it."""
    image, weights = torch.tensor([[[1.0, 0.0, 0.0, 0.0]]]), torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])
    sharp, _ = insertion(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), image, Share(weights), 0, kernel=(1, 1))
    assert sharp == pytest.approx(1, abs=1e-6)
    best, curve = insertion(torch.tensor([[4.0, 3.0, 2.0, 1.0]]), image, Share(weights), 0)
    worst, _ = insertion(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), image, Share(weights), 0)
    assert curve[0][1] < 0.8
    assert curve[1][1] == pytest.approx(1, abs=1e-6)
    assert worst < best < 1


def test_both_respond_to_the_model():
    image, attributions = torch.rand(1, 6, 6), torch.rand(1, 6, 6)
    models = [Share(torch.full((1, 6, 6), weight)) for weight in (0.0, 0.01, 0.02)]
    for curve in (deletion, insertion):
        areas = [curve(attributions, image, model, 0)[0] for model in models]
        assert areas[0] == pytest.approx(0, abs=1e-6)
        assert areas[0] < areas[1] < areas[2]
    assert deletion(attributions, image, models[1], 0)[0] != insertion(attributions, image, models[1], 0)[0]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_where_the_attributions_are(channels):
    """Attributions on the top row of a 4x6 image: the first quarter of the pixels to go is that row."""
    image = torch.rand(channels, 4, 6, generator=torch.Generator().manual_seed(1))
    attributions = torch.zeros(channels, 4, 6)
    attributions[:, 0] = 1
    network = Share(torch.full((channels, 4, 6), 0.01))
    deletion(attributions, image, network, 0, steps_num=4)
    _, one_quarter, *_ = torch.cat(network.seen)
    changed = (one_quarter != image).any(0)
    assert changed[0].all()
    assert not changed[1:].any()


@pytest.mark.parametrize("curve", [deletion, insertion])
@pytest.mark.parametrize("shape", [(3, 9, 5), (1, 4, 4), (3, 1, 7), (1, 40, 30)])
@pytest.mark.parametrize("attributions", [torch.zeros, torch.rand])
def test_any_image_any_attribution(curve, shape, attributions):
    area, points = curve(attributions(*shape), torch.rand(*shape), Share(torch.full(shape, 0.5 / math.prod(shape))), 0)
    assert 0 <= area <= 1
    assert len(points) <= 31
    assert points[0][0] == 0
    assert points[-1][0] == 1


@pytest.mark.usefixtures("shapes_unchecked")
def test_the_model_is_left_in_its_mode_and_bad_arguments_are_named():
    network = model()
    deletion(torch.rand(1, 8, 6), INPUTS[0], network, 0)
    assert network.training
    with pytest.raises(ValueError, match=r"attributions of \(1, 6, 8\) for an image of \(1, 8, 6\)"):
        deletion(torch.rand(1, 6, 8), INPUTS[0], network, 0)
    with pytest.raises(ValueError, match=r"chosen_class = 3, expected 0\.\.2"):
        insertion(torch.rand(8, 6), INPUTS[0], network, 3)
    with pytest.raises(ValueError, match="steps_num = 0"):
        deletion(torch.rand(8, 6), INPUTS[0], network, 0, steps_num=0)


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("curve", [deletion, insertion])
@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"attributions": torch.full((1, 8, 6), math.nan)}, ValueError, "attributions hold NaN or infinity, by which"),
        ({"attributions": torch.rand(3, 1, 8, 6)}, ValueError, r"attributions of \(3, 1, 8, 6\): give those of one"),
        ({"transformed_img": INPUTS}, ValueError, r"transformed_img has shape \(3, 1, 8, 6\): give one image"),
        ({"transformed_img": INPUTS[0] * math.nan}, ValueError, "transformed_img holds NaN"),
        ({"chosen_class": -1}, ValueError, r"chosen_class = -1, expected 0\.\.2"),
        ({"chosen_class": True}, TypeError, "chosen_class = True: give an integer"),
        ({"chosen_class": 1.0}, TypeError, r"chosen_class = 1\.0: give an integer"),
        ({"chosen_class": torch.tensor([0, 1])}, TypeError, r"chosen_class = tensor\(\[0, 1\]\): give an integer"),
        ({"steps_num": -3}, ValueError, "steps_num = -3: give at least 1"),
        ({"steps_num": True}, TypeError, "steps_num = True"),
        ({"steps_num": 2.5}, TypeError, r"steps_num = 2\.5"),
        ({"model": lambda images: images.flatten(1)[:, :1]}, ValueError, "has one logit, whose softmax is 1"),
        ({"model": lambda images: (images, images)}, ValueError, "returns a tuple: give a model that returns logits"),
        ({"model": lambda images: images}, ValueError, r"returns a tensor of \(31, 1, 8, 6\)"),
        ({"model": lambda images: images.flatten(1) * math.nan}, ValueError, r"no probabilities \(NaN\)"),
    ],
    ids=as_id,
)
def test_what_means_nothing_is_refused(curve, changed, kind, message):
    arguments = {"attributions": torch.rand(1, 8, 6), "transformed_img": INPUTS[0], "model": model(), "chosen_class": 0}
    with pytest.raises(kind, match=message):
        curve(**(arguments | changed))


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("kernel", [(4, 4), (0, 3), (-1, 3), (3,), (3, 2)])
def test_a_kernel_without_a_middle_is_refused(kernel):
    with pytest.raises(ValueError, match="give two odd numbers"):
        insertion(torch.rand(1, 8, 6), INPUTS[0], model(), 0, kernel=kernel)


@pytest.mark.parametrize("chosen", [torch.tensor(1), np.int64(1), torch.tensor([1])])
def test_a_class_may_be_the_argmax_of_logits(chosen):
    attributions = torch.rand(1, 8, 6)
    assert deletion(attributions, INPUTS[0], model(), chosen) == deletion(attributions, INPUTS[0], model(), 1)
