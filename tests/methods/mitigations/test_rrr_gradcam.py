from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.rrr_gradcam import RRRGradCAM
from small import bound
from torch import nn

STRENGTH = torch.tensor(0.7, dtype=torch.float64)


@pytest.fixture
def net():
    """Two maps, x and -2 x + 1; logit k is a weighted sum of their pixels."""
    module = nn.Module()
    module.features = nn.Sequential(nn.Conv2d(1, 2, 1).double(), nn.Flatten())
    module.features[0].weight.data = torch.tensor([1.0, -2.0], dtype=torch.float64).view(2, 1, 1, 1)
    module.features[0].bias.data = torch.tensor([0.0, 1.0], dtype=torch.float64)
    module.head = nn.Linear(8, 2, bias=False).double()
    module.head.weight.data = torch.arange(16, dtype=torch.float64).view(2, 8) / 10
    return bound(module)


INPUTS = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64).view(1, 1, 2, 2)


def test_rrr_gradcam_by_hand(net):
    masks = torch.tensor([[True, True], [False, False]]).view(1, 1, 2, 2)
    terms = RRRGradCAM().terms(net, Batch(INPUTS, torch.tensor([0]), masks, torch.tensor([0])), STRENGTH)
    # class 1 is predicted: weights .95 and 1.35, L = 1.35 - 1.75 x, in [0, 1] the same map
    torch.testing.assert_close(terms.right_reason, STRENGTH * (1 + 0.75**2))
