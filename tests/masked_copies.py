"""Small batches, and the copies that an augmenting mitigation makes of a batch."""

from __future__ import annotations

import torch
from rrrbench.datasets.base import Batch
from small import small_dataset


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def copies(mitigation, batch: Batch) -> torch.Tensor:
    return mitigation.augment(batch, 3, generator()).draws["copies"]


def colour_batch(n: int = 8) -> Batch:
    """3x5x7 inputs; squares of two sizes, one mask for all channels; the last two inputs have none."""
    masks = torch.zeros(n, 1, 5, 7, dtype=torch.bool)
    for i in range(n - 2):
        size = 2 + i % 2
        masks[i, :, i % 3 : i % 3 + size, i % 4 : i % 4 + size] = True
    labels = torch.arange(n) % 3
    return Batch(torch.rand(n, 3, 5, 7, dtype=torch.float64, generator=generator(1)), labels, masks, labels)


def flat_batch() -> Batch:
    batch = small_dataset().train.batch()
    return batch._replace(inputs=batch.inputs.flatten(1).double(), masks=batch.masks.flatten(1))
