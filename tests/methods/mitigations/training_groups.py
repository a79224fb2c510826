"""A network with all training inputs in a batch, and the mean error of each group."""

from __future__ import annotations

import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.groups import balancing_weights, groups, inverse_shares
from rrrbench.methods.network import Net
from small import small_trainer
from torch.nn import functional as F

STRENGTH = torch.tensor(0.0, dtype=torch.float64)


def whole_training_set(mitigation) -> tuple[Net, Batch]:
    """A network with the mitigation's own parameters, and all training inputs in one batch."""
    trainer = small_trainer(seeds=(0,), correlation=0.5)
    draw, module = trainer.draws[0], trainer.modules[0]
    batch = draw.train.batch()
    own = {name: value.double() for name, value in mitigation.parameters(module, draw).items()}
    shares = inverse_shares(draw.train.labels[None], draw.train.shortcuts[None], torch.float64)[0]
    weights = balancing_weights(draw.train.labels[None], draw.train.shortcuts[None], torch.float64)[0]
    draws = {"inverse_shares": shares, "weights": weights}
    parameters = {**dict(module.named_parameters()), **own}
    return Net(module, parameters), batch._replace(inputs=batch.inputs.double(), draws=draws)


def group_errors(net: Net, batch: Batch) -> torch.Tensor:
    """The mean error of each group."""
    index, counts = groups(batch.labels, batch.shortcuts)
    errors = F.cross_entropy(net(batch.inputs), batch.labels, reduction="none")
    return torch.stack([errors[index == group].mean() for group in range(len(counts))])
