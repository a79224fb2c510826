"""The optimiser that a training's settings ask for."""

from __future__ import annotations

import torch
from torch import Tensor

from ..suite.training import Training


def optimizer(training: Training, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """The optimiser of `training`; elementwise, so that the runs of a stack do not touch each other."""
    settings = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": True}
    match training.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, **settings)
        case "adamw":
            return torch.optim.AdamW(parameters, **settings)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=training.momentum, **settings)
