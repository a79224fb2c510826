"""Measures of faithfulness are judged by networks whose region is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rrrbench.benchmark.metrics.base import metrics
from rrrbench.benchmark.metrics.evaluating import evaluated
from rrrbench.benchmark.metrics.faithfulness import SUBJECTS, imputed
from rrrbench.datasets.recipe import make
from torch import nn


def test_a_missing_pixel_is_the_weighted_mean_of_its_neighbours():
    image = torch.arange(9.0).reshape(1, 1, 3, 3) ** 2
    missing = torch.zeros(1, 3, 3, dtype=torch.bool)
    missing[0, 1, 1] = True
    sides, corners = image[0, 0][[0, 1, 1, 2], [1, 0, 2, 1]], image[0, 0][[0, 0, 2, 2], [0, 2, 0, 2]]
    filled = imputed(image, missing)
    assert filled[0, 0, 1, 1] == pytest.approx(float(sides.sum() / 6 + corners.sum() / 12))
    assert torch.equal(filled[~missing[:, None]], image[~missing[:, None]])


def test_a_ramp_is_imputed_as_the_ramp():
    """It is the mean of its neighbours everywhere, so the linear system gives it back, in each channel."""
    ramp = torch.linspace(0, 1, 12).expand(12, 12)
    images = torch.stack([ramp, 1 - ramp]).expand(2, 2, 12, 12)
    missing = torch.zeros(2, 12, 12, dtype=torch.bool)
    missing[0, 3:9, 2:10] = True
    torch.testing.assert_close(imputed(images, missing), images, atol=1e-6, rtol=0)


class Seeing(nn.Module):
    """Tells classes by the mean of some pixels alone."""

    def __init__(self, pixels, classes):
        super().__init__()
        self.pixels, self.steps = pixels, nn.Parameter(torch.linspace(-1, 1, classes), requires_grad=False)

    def forward(self, images):
        seen = images[:, :, self.pixels].mean((1, 2)) * 2 - 1
        return -40 * (seen[:, None] - self.steps).square()


def judged(pixels):
    draw = make("decoy", 0, base="digits")
    network = Seeing(pixels, 10)
    found = evaluated([network], draw, torch.device("cpu"), torch.float32, untrained=lambda: network)
    return {name: float(value) for name, value in metrics.measure(found).items() if name.startswith("faithful/")}


@pytest.mark.long
def test_every_measure_is_judged_by_a_share_of_the_inputs():
    """Of a network that sees the middle of the image, where the object is and no patch."""
    middle = torch.zeros(28, 28, dtype=torch.bool)
    middle[8:20, 8:20] = True
    shares = judged(middle)
    assert shares.keys() == {f"faithful/{name}" for name in SUBJECTS}
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.parametrize(("sign", "share"), [(1.0, 1.0), (-1.0, 0.0)])
def test_a_measure_is_right_where_it_prefers_the_object_of_a_network_that_sees_the_object(monkeypatch, sign, share):
    middle = torch.zeros(28, 28, dtype=torch.bool)
    middle[8:20, 8:20] = True
    for name in SUBJECTS:
        monkeypatch.setitem(SUBJECTS, name, lambda network, inputs, maps, *_: sign * maps[:, middle].sum(1))
    assert judged(middle) == {f"faithful/{name}": share for name in SUBJECTS}


def test_where_no_explainers_are_ranked_no_measure_is_judged():
    draw = make("decoy", 0, base="digits")
    found = evaluated([Seeing(torch.ones(28, 28, dtype=torch.bool), 10)], draw, torch.device("cpu"), torch.float32)
    assert not any(name.startswith("faithful/") for name in metrics.measure(found))


@pytest.mark.parametrize("name", SUBJECTS)
def test_each_measure_prefers_the_pixels_that_a_network_sees(name):
    """A network of one bright region: its own map scores better than the map of another region."""
    rng, images = np.random.default_rng(0), torch.rand(6, 1, 10, 10, generator=torch.Generator().manual_seed(0)) * 0.2
    images[:, :, 2:4, 2:4] = 1
    images[:, :, 7:9, 7:9] = 1
    seen = torch.zeros(10, 10, dtype=torch.bool)
    seen[2:4, 2:4] = True

    def network(given):
        level = given[:, :, seen].mean((1, 2))
        return torch.stack([8 * level, 4 + 0 * level], 1)

    maps = torch.zeros(2, 6, 10, 10)
    maps[0, :, 2:4, 2:4] = 1
    maps[1, :, 7:9, 7:9] = 1
    maps += 0.01 * torch.rand(maps.shape, generator=torch.Generator().manual_seed(1))
    right, wrong = (SUBJECTS[name](network, images, own, torch.zeros(6, dtype=torch.int64), rng) for own in maps)
    assert (right > wrong).all()
