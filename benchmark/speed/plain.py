"""The plain loop, which figures compare with: what a paper's released code does."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ...datasets.base import ShortcutDataset
from ..networks import NetworkRecipe
from .timing import Step


def plain_loop(network: NetworkRecipe, draw: ShortcutDataset, batch_size: int, strength: float | None) -> Step:
    """One step of RRR in plain PyTorch, or of ERM where there is no strength."""
    device = training_device()
    module = network.build(draw, draw.seed).to(device)
    optimizer = torch.optim.Adam(module.parameters())
    batch = draw.train.batch(slice(0, batch_size))
    inputs, labels, masks = (tensor.to(device) for tensor in (batch.inputs, batch.labels, batch.masks))

    def step() -> None:
        optimizer.zero_grad()
        x = inputs.clone().requires_grad_(strength is not None)
        log_probs = F.log_softmax(module(x), -1)
        loss = F.nll_loss(log_probs, labels)
        if strength is not None:
            (gradient,) = torch.autograd.grad(log_probs.sum(), x, create_graph=True)
            loss = loss + strength * (gradient * masks).square().flatten(1).sum(1).mean()
        loss.backward()
        optimizer.step()

    return step


def training_device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
