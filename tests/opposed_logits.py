"""A linear network of two opposed logits, a batch with an input without a mask, and the worst content of its mask."""

from __future__ import annotations

import torch
from rrrbench.datasets.base import Batch
from small import Linear, bound

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
INPUTS = torch.tensor([[0.2, 0.5, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64)
MASKS = torch.tensor([[True, True, False], [False, False, False]])
BATCH = Batch(INPUTS, torch.tensor([0, 1]), MASKS, torch.tensor([0, 1]))
W = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
OPPOSED = bound(Linear(torch.stack([W, -W])))
WORST = torch.tensor([[0.0, 1.0, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64)  # for class 0, of any masked content


def right_reason(mitigation, net, batch) -> torch.Tensor:
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    return mitigation.terms(net, batch, STRENGTH).right_reason
