from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, MASKS, STRENGTH, WEIGHT, gradient_at, right_reason
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.cosine_rrr import CosineRRR
from small import Linear, bound
from torch import nn


def test_the_cosine_by_hand_and_at_any_scale():
    size = gradient_at(INPUTS).abs()
    cosines = (size * MASKS).sum(1) / size.norm(dim=1) / torch.tensor([2.0, 1.0, 1.0]).sqrt()
    torch.testing.assert_close(right_reason(CosineRRR()), STRENGTH * cosines.mean())
    small = bound(Linear(1e-6 * WEIGHT))  # p is uniform here, so the gradient is 0 but for rounding in float32
    assert torch.isfinite(CosineRRR().terms(small, BATCH, STRENGTH).right_reason)


def test_the_cosine_of_an_image_sums_its_channels_first():
    weight = torch.tensor([[1.0, 0.0, -1.0, 3.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)  # 2 channels of 2 pixels
    masks = torch.tensor([True, False]).view(1, 1, 1, 2)
    batch = Batch(torch.zeros(1, 2, 1, 2, dtype=torch.float64), torch.tensor([0]), masks, torch.tensor([0]))
    logits = torch.tensor([1.0, 0.5], dtype=torch.float64)
    linear = Linear(weight)
    linear.head.bias = nn.Parameter(logits)
    net = bound(linear)  # p is not uniform, and the gradient is c (1, 0, -1, 3): c (0, 3) a pixel
    assert CosineRRR().terms(net, batch, STRENGTH).right_reason == 0
    batch = batch._replace(masks=~masks)
    torch.testing.assert_close(CosineRRR().terms(net, batch, STRENGTH).right_reason, STRENGTH)
