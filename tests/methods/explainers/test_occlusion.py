from __future__ import annotations

import torch
from rrrbench.methods.explainers.base import explainers


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


def test_occlusion_is_the_mean_of_the_windows_that_hold_a_pixel():
    """Of a sum of weighted pixels in one row: windows {0, 1}, {1, 2}, {2, 3} lose the sums they cover."""
    weights, inputs = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.ones(1, 1, 1, 4)
    network = lambda x: (x * weights).sum((1, 2, 3), keepdim=True).flatten(1)  # noqa: E731
    attributions = resolve("occlusion", window=2, stride=1).attribute(network, inputs, torch.tensor([0]))
    assert attributions.flatten().tolist() == [3, (3 + 6) / 2, (6 + 12) / 2, 12]
