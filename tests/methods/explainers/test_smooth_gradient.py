from __future__ import annotations

import torch
from rrrbench.methods.explainers.base import explainers
from torch import nn

INPUTS = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


def test_smooth_gradient_of_a_square_is_twice_the_input_and_the_mean_noise():
    """dz/dx = 2 (x + e), and the same e for every input; its mean is within 5 noise / sqrt(n) of 0."""
    attributions = resolve("smooth_gradient", noise=0.1, n_samples=400).attribute(lambda x: x**2, INPUTS[:, :3], TARGET)
    chosen = nn.functional.one_hot(TARGET, 3).bool()
    noise = attributions - 2 * INPUTS[:, :3]
    assert (attributions[~chosen] == 0).all()
    assert (noise[chosen].abs() < 2 * 5 * 0.1 / 20).all()
    assert (noise[chosen].abs() > 1e-9).all()
    torch.testing.assert_close(noise[0, 0], noise[3, 0])
