"""Where a small step goes: with 8 inputs, dispatching an operation takes longer than computing it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ...datasets.base import ShortcutDataset
from ..networks.mlp import MLP
from .cases import RRR, STRENGTHS, part_of, trainer
from .plain import training_device
from .timing import seconds, traced_step

BATCH, STEPS = 8, 200


class _Count(TorchDispatchMode):
    """Counts operations."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


def small_step(draw: ShortcutDataset) -> list[list[str]]:
    """The parts of a traced step of 8 runs of mlp with batches of 8: operations, microseconds, and their quotient.

    The last row is the floor: an addition of as many numbers as the first hidden layer has, which is hardly more than
    its dispatch.
    """
    network = MLP()
    part = part_of(trainer(network, [draw], BATCH, STRENGTHS), RRR)
    traced_step(part)()
    index = torch.arange(BATCH)[None]
    batch = part.batch(index)
    gradients, _ = part.gradients(part.parameters, batch, part.strengths)

    def update() -> None:
        for name in part.trainable:
            part.parameters[name].grad = gradients[name].contiguous()
        part.optimizer.step()

    numbers = torch.zeros(network.hidden[0], device=training_device())
    parts: dict[str, Callable[[], object]] = {
        "the batch": lambda: part.batch(index),
        "gradients of the loss, traced": lambda: part.gradients(part.parameters, batch, part.strengths),
        "Adam": update,
        "the whole step": lambda: part.step(part.batch(index)),
        f"an addition of {len(numbers)} numbers": lambda: numbers + numbers,
    }
    return [_row(name, call) for name, call in parts.items()]


def _row(name: str, call: Callable[[], object]) -> list[str]:
    with _Count() as count:
        call()
    took = 1e6 * min(seconds(call, STEPS) for _ in range(3)) / STEPS
    return [name, str(count.operations), f"{took:.0f} µs", f"{took / count.operations:.1f} µs"]
