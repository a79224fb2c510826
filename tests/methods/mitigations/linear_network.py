"""A linear network, a batch and its input gradient in closed form, for tests of gradient penalties."""

from __future__ import annotations

import torch
from rrrbench.datasets.base import Batch
from small import Linear, bound

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
WEIGHT = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INPUTS = torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
MASKS = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
LABELS = torch.tensor([0, 3, 1])
BATCH = Batch(INPUTS, LABELS, MASKS, LABELS)
NET = bound(Linear(WEIGHT))


def gradient_at(inputs: torch.Tensor) -> torch.Tensor:
    """d/dx sum_k log p_k of z = W x, by hand."""
    return WEIGHT.sum(0) - 4 * (inputs @ WEIGHT.T).softmax(-1) @ WEIGHT


def right_reason(mitigation, batch=BATCH) -> torch.Tensor:
    return mitigation.terms(NET, batch, STRENGTH).right_reason


def drawn(mitigation, batch=BATCH) -> Batch:
    return mitigation.augment(batch, 4, torch.Generator().manual_seed(2))
