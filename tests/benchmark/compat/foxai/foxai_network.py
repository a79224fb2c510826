"""A network whose every state is the user's, and the explainers by name."""

import re

import numpy as np
import pytest
import torch
from rrrbench.benchmark.compat import foxai
from rrrbench.benchmark.compat.foxai import CVClassificationExplainers
from torch import nn

INPUTS = torch.rand(3, 1, 8, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.tensor([0, 2, 1])
EVERY = pytest.mark.parametrize("explainer", list(CVClassificationExplainers), ids=lambda one: one.name)


def named(explainer):
    """The explainer of a name."""
    return getattr(foxai, explainer.value)()


def model():
    """Training mode with dropout, a ReLU in place, gradients on the parameters: all of it is the user's."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.5), nn.Linear(10, 3)).double()
    network[0].eval()
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 87.1)
    return network


def state(network, inputs):
    return {
        "modes": [module.training for module in network.modules()],
        "in place": [getattr(module, "inplace", None) for module in network.modules()],
        "attributes": [sorted(vars(module)) for module in network.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()],
        "gradients": [parameter.grad.tolist() for parameter in network.parameters()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "parameters": [(parameter.tolist(), parameter._version) for parameter in network.parameters()],
        "inputs": (inputs.tolist(), inputs.requires_grad, inputs.grad),
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),  # noqa: NPY002
    }


def as_id(value):
    """A value as a test's id: without a tensor's numbers, which may be drawn."""
    return re.sub(r"(tensor|array)\(\[.*| at 0x\w+", r"\1", str(value), flags=re.DOTALL)[:80]
