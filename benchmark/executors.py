"""Where stacks are trained: in this process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from ..datasets.base import Recipe, ShortcutDataset
from ..methods.explainers.base import explainers
from ..methods.network import Net
from . import evaluate
from .engine import Engine, Fitted, Trainer
from .record import Record
from .report.panel import saliency_panel
from .suite import Stack

PANEL_INPUTS = 5
CheckDigest = Callable[[str, str], None]
"""Raises if the draw of a dataset with this key was recorded with another digest."""


@dataclass(frozen=True)
class Settings:
    """How stacks are trained here; nothing of it is part of a run key, because it changes no result."""

    device: str = "cpu"
    engine: Engine = "auto"
    choices: MutableMapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A trained stack's records, the state dicts by run key if they were asked for, and its picture."""

    records: list[Record]
    models: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    panel: bytes | None = None


def run_stack(
    stack: Stack,
    settings: Settings,
    check_digest: CheckDigest,
    progress: Callable[[int], object],
    save_models: bool = False,
) -> Result:
    """Draws the data, trains, evaluates. An exception inside a stack is narrowed down to the runs that raise it.

    Raises:
        OSError, ValueError: the data cannot be had, or differ from what was recorded; that is no single run's failure.
    """
    draws = [draw(stack.dataset, seed) for seed in stack.seeds]
    for one in draws:
        check_digest(stack.dataset_key(one.seed), one.digest())
    try:
        return _trained(stack, draws, settings, progress, save_models)
    except Exception:
        if len(stack) == 1:
            (strength,), (seed,) = stack.strengths, stack.seeds
            return Result([Record.of(stack, strength, seed, "failed", error=traceback.format_exc())])
        alone = [run_stack(run, settings, check_digest, progress, save_models) for run in stack.runs()]
        return Result(
            [r for result in alone for r in result.records],
            dict(item for result in alone for item in result.models.items()),
        )


def _trained(
    stack: Stack,
    draws: list[ShortcutDataset],
    settings: Settings,
    progress: Callable[[int], object],
    save_models: bool,
) -> Result:
    trainer = Trainer(
        stack.network,
        draws,
        stack.training,
        torch.tensor([stack.strengths] * len(draws), dtype=torch.float64),
        device=settings.device,
        engine=settings.engine,
        choices=settings.choices,
        progress=progress,
    )
    fitted = stack.mitigation.fit(trainer)
    records = list(evaluate.records(stack, trainer, fitted))
    models = _state_dicts(stack, fitted) if save_models else {}
    return Result(records, models, _panel(stack, trainer, fitted) if stack.mitigation.has_strength else None)


@lru_cache(maxsize=8)
def draw(recipe: Recipe, seed: int) -> ShortcutDataset:
    """A draw of a dataset; the mitigations of one sweep follow each other and share it."""
    return recipe.make(seed)


def _state_dicts(stack: Stack, fitted: Fitted) -> dict[str, dict[str, Tensor]]:
    return {
        stack.key(strength, seed): {name: value[row, column].cpu().clone() for name, value in fitted.parameters.items()}
        for row, seed in enumerate(stack.seeds)
        for column, strength in enumerate(stack.strengths)
    }


def _panel(stack: Stack, trainer: Trainer, fitted: Fitted) -> bytes:
    """Input, mask, and input gradient at the least, the middle and the greatest strength of the first seed."""
    one = trainer.draws[0]
    batch = (one.environments.get("random") or one.test("aligned")).batch(slice(0, PANEL_INPUTS))
    inputs = batch.inputs.to(trainer.device)
    last = len(stack.strengths) - 1
    attributions = {}
    for column in sorted({0, last // 2, last}):
        net = Net(trainer.modules[0], {name: value[0, column] for name, value in fitted.parameters.items()})
        gradient = explainers.resolve("input_gradient").attribute(net, inputs, batch.labels.to(trainer.device))
        attributions[f"strength {stack.strengths[column]:.3g}"] = torch.nan_to_num(gradient)
    title = f"{stack.dataset.id}, {stack.network.id}, {stack.mitigation.id}: |input gradient|"
    return saliency_panel(inputs, batch.masks, attributions, title)
