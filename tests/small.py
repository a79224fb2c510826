"""The small dataset of the package's conformance laws, and what else tests need beside it."""

from __future__ import annotations

import torch
from rrrbench.benchmark.conformance.small import (
    CLASSES,
    SIDE,
    SmallConvolutional,
    small_dataset,
    small_network,
    small_split,
    small_trainer,
    trainer_for,
    without_masks,
)
from rrrbench.datasets.base import Batch
from rrrbench.methods.network import Net
from torch import nn

__all__ = [
    "CLASSES",
    "SIDE",
    "Linear",
    "SmallConvolutional",
    "bound",
    "small_dataset",
    "small_net_and_batch",
    "small_network",
    "small_split",
    "small_trainer",
    "trainer_for",
    "without_masks",
]


class Linear(nn.Module):
    """Logits W x: its features are the flattened input."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten())
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
        self.head.weight.data = weight

    def forward(self, inputs):
        return self.head(self.features(inputs))


def bound(module: nn.Module) -> Net:
    return Net(module, dict(module.named_parameters()))


def small_net_and_batch(network="mlp", n: int = 6) -> tuple[Net, Batch]:
    trainer = small_trainer(network=network)
    return bound(trainer.modules[0]), trainer.train_data.batch(slice(0, n), torch.float64).of_seed(0)
