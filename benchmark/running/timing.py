"""What each stack is expected to take, from a few timed steps of the greatest."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch

from ...datasets.base import ShortcutDataset
from ...methods.base import mitigations
from ..engine.device import own_seconds, seconds_of
from ..engine.rehearsal import Rehearsal, Stage, sample
from ..metrics.evaluated import splits
from ..metrics.evaluating import explained_inputs
from ..metrics.evaluation import evaluations
from ..networks import NetworkRecipe
from ..suite.stack import MitigationStack, Stack
from ..suite.training import Training
from .course import Course
from .executors import Settings
from .executors.base import draw
from .forecast import Inapplicable

TIMING_SECONDS = 20.0
"""Seconds after which no further stack is timed."""
SAMPLE, FEW, FEWER = 1024, 8, 4
"""Training inputs that are timed: of networks that are quick; in the first batch of any network; and to measure slow
networks."""
SLOW_STEP, LONG_ENOUGH = 0.1, 0.05
"""Seconds of a step of a single run from which its network is slow, and from which a step tells a larger batch's."""
SECONDS_A_RECORD, SECONDS_A_PICTURE = 0.05, 0.7
"""What writing a run's record and logging it to MLflow takes, and drawing a stack's picture, on two cores."""


class Size(NamedTuple):
    """Of a dataset: the shape of an input, and inputs to train on and in each environment."""

    features: tuple[int, ...]
    train: int
    tests: tuple[int, ...]


def courses(
    stacks: Iterable[Stack], settings: Settings, absent: Iterable[str] = (), patience: float = TIMING_SECONDS
) -> tuple[dict[Stack, Course], tuple[Inapplicable, ...], int]:
    """What each stack is expected to take, which stacks are inapplicable, and how many were guessed and not timed.

    On a CPU, seconds are those of an idle machine (`own_seconds`).

    Args:
        absent: ids of datasets that are missing.
        patience: seconds after which no further stack is timed; 0 times none, and asks for obstacles alone.
    """
    known: dict[Stack, Course | None] = {}
    inapplicable: list[Inapplicable] = []
    sizes: dict[MitigationStack, Size] = {}
    for stack in (asked := list(stacks)):
        if not isinstance(stack, MitigationStack) or stack.dataset.with_masks().id in absent:
            known[stack] = None
            continue
        drawn = draw(stack.dataset, stack.seeds[0])
        if reason := stack.mitigation.obstacle(drawn, stack.network.build(drawn, drawn.seed)):
            inapplicable.append(Inapplicable(stack.dataset.id, stack.network.id, stack.label, len(stack), reason))
            known[stack] = Course()
        else:
            sizes[stack] = Size(drawn.features, len(drawn.train), tuple(map(len, drawn.environments.values())))
    work: dict[Stack, float] = {stack: float(stack.epochs * size.train) for stack, size in sizes.items()}
    timer = _Timing(settings, patience)  # whose patience begins after the draws, which take long of large photos
    with own_seconds(settings.device):
        for stack in sorted(sizes, key=lambda stack: -work[stack]):  # the greatest first: the rest matters less
            known[stack] = timer.course(stack, sizes[stack])
    timed = {stack: course for stack, course in known.items() if course is not None and course.stages}
    unknown = [stack for stack, course in known.items() if course is None]
    if not timed and unknown:
        return {}, tuple(inapplicable), 0
    usual = statistics.mean(size.train for size in sizes.values()) if sizes else 1.0
    every: dict[Stack, float] = {stack: stack.epochs * usual for stack in asked} | work
    guesses = {stack: _guess(stack, timed, every) for stack in unknown}
    return {stack: known[stack] or guesses[stack] for stack in asked}, tuple(inapplicable), len(unknown)


def _guess(stack: Stack, timed: Mapping[Stack, Course], work: Mapping[Stack, float]) -> Course:
    """As long for an input as the stacks that have the same network and training, else the same network, else all.

    Args:
        work: inputs that a stack trains on, in all epochs of all runs.
    """
    network, training = getattr(stack, "network", None), getattr(stack, "training", None)
    same = [own for own in timed if getattr(own, "network", None) == network]
    like = [own for own in same if getattr(own, "training", None) == training] or same or [*timed]
    seconds = sum(timed[own].seconds for own in like) * work[stack] / sum(work[own] for own in like)
    return Course((Stage(stack.epochs, seconds),))


class _Timing:
    """Times stacks until its patience is over; stacks of the same shape are timed once."""

    def __init__(self, settings: Settings, patience: float) -> None:
        self.settings = settings
        self.deadline = time.monotonic() + patience
        self._known: dict[object, Course | None] = {}
        self._batches: dict[object, int] = {}
        self._evaluation: dict[object, float] = {}

    def course(self, stack: MitigationStack, of_data: Size) -> Course | None:
        """None where there is no time left, or where the rehearsal raises: the run will say why."""
        size = (stack.network, stack.training, *of_data)
        shape = (stack.mitigation, len(stack.strengths), len(stack.seeds), stack.auto, stack.explainers, *size)
        if shape not in self._known:
            if time.monotonic() > self.deadline:
                return None
            try:
                self._known[shape] = self._timed(stack, draw(stack.dataset, stack.seeds[0]), size)
            except Exception:  # of a file that anybody may have written; training it records the error
                self._known[shape] = None
        return self._known[shape]

    def _timed(self, stack: MitigationStack, drawn: ShortcutDataset, size: object) -> Course:
        batch = self._batch(stack.network, drawn, stack.training, size)
        slow = batch > 0
        small, scale, training = _reduced(drawn, stack.training, batch)
        rehearsal = Rehearsal(
            stack.network,
            small,
            training,
            stack.strengths[:1] if slow else stack.strengths,
            seeds=1 if slow else len(stack.seeds),
            scale=scale,
            device=self.settings.device,
            engine=self.settings.engine,
            choices=self.settings.choices if not slow else {},
            stack_below=0.0 if slow else 1.0,
        )
        stack.mitigation.fit(rehearsal)
        runs = len(stack) if slow else 1
        stages = tuple(Stage(runs * stage.epochs, runs * stage.seconds) for stage in rehearsal.stages)
        key = (size, stack.explainers)
        if key not in self._evaluation:
            self._evaluation[key] = self._evaluated(stack, drawn, small, training, slow)
        after = len(stack) * (self._evaluation[key] + SECONDS_A_RECORD)
        return Course(stages, after + (SECONDS_A_PICTURE if stack.mitigation.has_strength else 0.0))

    def _batch(self, network: NetworkRecipe, drawn: ShortcutDataset, training: Training, size: object) -> int:
        """The batch that times a slow network; 0 for a network that is quick on a full batch.

        A step on few inputs is mostly overhead, which a larger batch has once: the batch grows until its step is long.
        """
        if size not in self._batches:
            batch = min(FEW, training.batch_size)
            while (step := self._step(network, drawn, training, batch)) < LONG_ENOUGH and batch < training.batch_size:
                batch = min(4 * batch, training.batch_size)
            self._batches[size] = batch if step * training.batch_size / batch > SLOW_STEP else 0
        return self._batches[size]

    def _step(self, network: NetworkRecipe, drawn: ShortcutDataset, training: Training, batch: int) -> float:
        """Seconds of a step of ERM."""
        small, _, few = _reduced(drawn, training.model_copy(update={"epochs": 1}), batch)
        rehearsal = Rehearsal(
            network, small, few, (0.0,), engine="single", device=self.settings.device, stack_below=0.0
        )
        mitigations.resolve("erm").fit(rehearsal)
        return rehearsal.stages[0].seconds * batch / len(small.train)

    def _evaluated(
        self, stack: MitigationStack, drawn: ShortcutDataset, small: ShortcutDataset, training: Training, slow: bool
    ) -> float:
        """Seconds of a run's metrics: measured on a few inputs, and the rest by the inputs that are looked at."""
        if slow:
            training = training.model_copy(update={"batch_size": FEWER})
            small, _ = sample(drawn, FEWER)
        run = stack.of(stack.strengths[:1], (drawn.seed,))
        device = torch.device(self.settings.device)
        rehearsal = Rehearsal(run.network, small, training, run.strengths, device=device, stack_below=0.0)
        fitted = mitigations.resolve("erm").fit(rehearsal)
        took = min(
            seconds_of(lambda: list(evaluations(run, rehearsal, fitted, 0.0)), device) for _ in range(1 if slow else 2)
        )
        inputs = small.train.batch(slice(0, FEW * 4)).inputs.to(device)
        with torch.no_grad():
            each = min(seconds_of(lambda: rehearsal.modules[0](inputs), device) for _ in range(2)) / len(inputs)
        here, there = (sum(map(len, splits(own).values())) for own in (small, drawn))
        explained = [len(explained_inputs(own, bool(stack.explainers)).labels) for own in (small, drawn)]
        return max(0.0, took - each * here) * explained[1] / explained[0] + each * there


def _reduced(drawn: ShortcutDataset, training: Training, batch: int) -> tuple[ShortcutDataset, float, Training]:
    """A sample of a draw, by how much the draw is larger, and the training on the sample.

    Args:
        batch: inputs in a step of a slow network; 0 for as many as the training has.
    """
    if not batch:
        return *sample(drawn, max(SAMPLE, 2 * training.batch_size)), training
    return *sample(drawn, 2 * batch), training.model_copy(update={"batch_size": batch})


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Times with as many threads as a worker has."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
