"""A rehearsal: the trainings that a mitigation's `fit` asks for, each timed by a few of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...datasets.base import ShortcutDataset, Split
from ...methods.fitting import CURVES, Fitted, Objective
from ...methods.network import Parameters
from ..networks import NetworkRecipe
from ..suite.training import Training
from . import device as engine_device
from .device import training_precision
from .part import Part, parts_of
from .places import FIRST_RUN, Place, size_of, whole
from .plan import COMPILE_FROM, CONVOLUTIONS_ALONE, Engine, Plan
from .runs import Runs
from .stacking import StackedSplit
from .trainer import Trainer, places_of

QUICKLY, PATIENCE = 0.05, 0.2
"""Seconds after which no further step is timed: of a run as it is, and of a plan once it is traced."""
TRACED = 3
"""How many times faster a traced step may be than the same step as it is."""


class Stage(NamedTuple):
    """A training of a stack.

    Attributes:
        epochs: of all its runs together.
        seconds: that it is expected to take, tracing included.
    """

    epochs: int
    seconds: float


class Rehearsal(Trainer):
    """A trainer whose `train` times a few steps and returns the networks as they were initialised.

    Args:
        draw: of one seed; seeds share their timings. It may be a `sample` of the dataset.
        strengths: how many.
        seeds: how many are stacked.
        scale: a factor of all seconds: the dataset's number of inputs over the sample's.
        stack_below: seconds of all runs' steps, one after another, above which stacking them is not tried.

    Attributes:
        stages: of the trainings so far, those of `altered` trainers included.
    """

    def __init__(
        self,
        network: NetworkRecipe,
        draw: ShortcutDataset,
        training: Training,
        strengths: tuple[float, ...],
        *,
        seeds: int = 1,
        scale: float = 1.0,
        device: torch.device | str = "cpu",
        engine: Engine = "auto",
        choices: MutableMapping[str, str] | None = None,
        stack_below: float = 0.5,
    ) -> None:
        table = torch.tensor([strengths], dtype=torch.float64)
        super().__init__(network, [draw], training, table, device=device, engine=engine, choices=choices)
        self.seeds, self.scale, self.stack_below = seeds, scale, stack_below
        self.stages: list[Stage] = []

    def altered(
        self, *, splits: Sequence[Split] | None = None, epochs: int | None = None, only: str | None = None
    ) -> Rehearsal:
        """The same stack, which notes its stages here."""
        return cast("Rehearsal", super().altered(splits=splits, epochs=epochs, only=only))

    def train(
        self,
        mitigation: Objective,
        *,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None = None,
        strengths: Float[Tensor, "seeds strengths"] | None = None,
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None = None,
        start: Parameters | None = None,
    ) -> Fitted:
        """Notes the stage; the result has no curves that say anything."""
        runs = self.runs(masks=masks, strengths=strengths, given=given, start=start)
        with sdpa_kernel(SDPBackend.MATH), training_precision(self.training.precision, self.device):
            self.stages.append(self._stage(mitigation, _of_seeds(runs, self.seeds)))
            part = parts_of(mitigation, runs)(whole(runs.strengths.shape))
        nothing = runs.strengths.new_full((*runs.strengths.shape, self.training.epochs), torch.nan)
        return Fitted(
            parameters={name: value for name, value in part.parameters.items() if name not in part.own},
            curves=dict.fromkeys(CURVES, nothing),
            liveness=dict.fromkeys(("start", "middle", "end"), runs.strengths * torch.nan),
            seconds=torch.zeros_like(runs.strengths),
        )

    def _stage(self, mitigation: Objective, runs: Runs) -> Stage:
        begin = engine_device.clock()
        part = parts_of(mitigation, runs)
        count, epochs = runs.strengths.numel(), runs.training.epochs
        steps = -(-len(runs.data) // runs.training.batch_size)
        one_by_one = count * part(FIRST_RUN).seconds_per_epoch(QUICKLY)
        if one_by_one > steps * self.stack_below:  # a trial of plans would take too long
            return Stage(count * epochs, self.scale * epochs * one_by_one)
        took: dict[Plan, float] = {}
        alone = self.convolves_on_cpu and one_by_one > count * steps * CONVOLUTIONS_ALONE
        if self.engine != "single" and runs.alike and not (self.engine == "auto" and alone):
            took["stacked"] = self._seconds("stacked", part, runs)
        if self.engine in ("auto", "single") and one_by_one < TRACED * took.get("stacked", math.inf):
            took["single"] = self._seconds("single", part, runs)
        plan = min(took, key=took.__getitem__)
        if self.engine == "auto" and self.scale * epochs * took[plan] <= COMPILE_FROM:
            self.choices[self.shape_of(mitigation, runs, self.scale * runs.steps)] = plan
        setup = (engine_device.clock() - begin) / 2  # what is traced here is traced again
        return Stage(count * epochs, setup + self.scale * epochs * took[plan])

    def _seconds(self, plan: Plan, part: Callable[[Place], Part], runs: Runs) -> float:
        """Seconds of an epoch of all runs under a plan; infinite where the runs cannot be stacked."""
        try:
            places = places_of(plan, runs.strengths.shape, part)
            first = part(places[0])
            first.trace()
            return first.seconds_per_epoch(PATIENCE) * runs.strengths.numel() / size_of(places[0])
        except RuntimeError:
            if plan == "single":
                raise
            return math.inf


def _of_seeds(runs: Runs, count: int) -> Runs:
    """The runs of one seed as those of many."""

    def many(values: Tensor) -> Tensor:
        return values.expand(count, *values.shape[1:])

    def split(data: StackedSplit) -> StackedSplit:
        given = {name: many(values) for name, values in data.given.items()}
        core = None if data.core is None else many(data.core)
        return StackedSplit(many(data.inputs), many(data.labels), many(data.masks), many(data.shortcuts), given, core)

    return replace(
        runs,
        draws=[*runs.draws] * count,
        modules=[*runs.modules] * count,
        data=split(runs.data),
        validation=split(runs.validation),
        strengths=many(runs.strengths),
        start=None if runs.start is None else {name: many(value) for name, value in runs.start.items()},
    )


def sample(draw: ShortcutDataset, inputs: int) -> tuple[ShortcutDataset, float]:
    """The first training inputs of a draw, and of its other splits the same share; and one over that share."""
    share = min(1.0, inputs / len(draw.train))
    environments = {name: _first(split, share) for name, split in draw.environments.items()}
    small = replace(
        draw,
        train=_first(draw.train, share),
        validation=_first(draw.validation, share),
        environments=environments,
        clean_train=None if draw.clean_train is None else lambda: _first(draw.clean_train(), share),
    )
    return small, len(draw.train) / len(small.train)


def _first(split: Split, share: float) -> Split:
    return split.rows(slice(max(1, round(share * len(split)))))
