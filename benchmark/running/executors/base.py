"""What every executor does with a stack: draw the data, train, evaluate."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, singledispatch
from pathlib import Path

import torch
from torch import Tensor, nn

from ....datasets.base import ShortcutDataset
from ....datasets.files import Stamp
from ....datasets.own_code import OwnFile
from ....datasets.recipe import Recipe
from ....methods.fitting import Fitted
from ...engine.plan import Engine
from ...engine.trainer import Trainer
from ...metrics.evaluation import evaluations
from ...networks.check import check
from ...networks.not_trainable import NotTrainable
from ...store.record import Record
from ...suite.stack import MitigationStack, Stack
from ..course import Course, Meter, Progress
from ..picture import Panel, picture
from ..records import records


class DigestMismatch(ValueError):
    """Data that changed under the same recipe, parameters and seed."""


@dataclass(frozen=True)
class Settings:
    """How stacks are trained; nothing of it is part of a run key, because it changes no result.

    Attributes:
        device: as torch names it; `auto` is for a cluster, whose devices only it knows.
        choices: what `auto` found fastest, by shape of stack.
        save_models: results carry state dicts.
        own_code: the files of `--with`, which another process loads before it can read a task.
        sharers: processes that train on the device at once, and share its free memory.
        home: the folder of results; None for the usual folder.
    """

    device: str = "cpu"
    engine: Engine = "auto"
    choices: MutableMapping[str, str] = field(default_factory=dict)
    save_models: bool = False
    own_code: tuple[OwnFile, ...] = ()
    sharers: int = 1
    home: Path | None = None


@dataclass(frozen=True)
class Task:
    """A stack to train.

    Attributes:
        digests: what its data were recorded with, by `dataset_key`.
        after: how many stacks are to be trained after it; with fewer than there are workers, it is divided.
        panel: its result carries a picture.
        course: what it is expected to take; progress is told in its seconds. Without a course, in epochs of runs.
    """

    stack: Stack
    digests: Mapping[str, str] = field(default_factory=dict)
    after: int = 0
    panel: bool = True
    course: Course | None = None

    @property
    def key(self) -> str:
        """Of its first run: it names the task."""
        return self.stack.key(self.stack.strengths[0], self.stack.seeds[0])

    @property
    def work(self) -> float:
        """What progress amounts to when the task is done."""
        return self.stack.epochs if self.course is None else self.course.seconds

    def of(self, stack: Stack, panel: bool) -> Task:
        """The part of this task that is a part of its stack."""
        course = self.course and self.course.part(len(stack) / len(self.stack))
        return replace(self, stack=stack, panel=panel, course=course)


@dataclass(frozen=True)
class Result:
    """A trained stack's records, the state dicts by run key if they were asked for, and its picture."""

    records: list[Record]
    models: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    panel: Panel | bytes | None = None


def divided(tasks: Iterable[Task], workers: Callable[[], int]) -> Iterator[Task]:
    """Whole stacks while there are enough of them for all workers, for one trains faster than its parts; then parts.

    The first part has the picture: it is of the first seed.
    """
    for task in tasks:
        for i, stack in enumerate(task.stack.divided(-(-workers() // (task.after + 1)))):
            yield task.of(stack, task.panel and i == 0)


def run_stack(task: Task, settings: Settings | None = None, progress: Progress = lambda done: None) -> Result:
    """Draws the data, trains, evaluates. An exception inside a stack is narrowed down to the runs that raise it.

    Args:
        progress: called with seconds of the task's course that are over; without a course, with epochs of runs.

    Raises:
        OSError, ValueError: the data cannot be had, or differ from what was recorded, or the network cannot be trained
            as it is; that is no single run's failure.
    """
    settings = settings or Settings()
    if task.course is None:
        return run_kind(task.stack, task, settings, progress)
    meter = Meter(task.course, progress)
    result = run_kind(task.stack, replace(task, course=None), settings, meter.add)
    meter.finish()
    return result


@singledispatch
def run_kind(stack: Stack, task: Task, settings: Settings, progress: Progress) -> Result:
    """`run_stack` of a kind of stack; a module of this package registers it."""
    raise NotImplementedError(f"no executor knows how to run a {type(stack).__name__}: register it with run_kind")


@run_kind.register(MitigationStack)
def _(stack: MitigationStack, task: Task, settings: Settings, progress: Progress) -> Result:
    draws = [draw(stack.dataset, seed) for seed in stack.seeds]
    for one in draws:
        check_digest(one.id, one.seed, one.digest(), task.digests.get(stack.dataset_key(one.seed)))
        require_a_batch(stack, one)
        check(stack.network, one, stack.training.batch_size)
    counted = 0.0

    def count(epochs: float) -> None:
        nonlocal counted
        counted += epochs
        progress(epochs)

    try:
        obstacles = {draw.seed: stack.mitigation.obstacle(draw, stack.network.build(draw, draw.seed)) for draw in draws}
        if any(obstacles.values()):
            return _beside_obstacles(stack, task, draws, obstacles, settings, progress)
        result = _trained(stack, task, draws, settings, count)
        progress(stack.epochs - counted)  # a stage may train one run for all strengths
        return result
    except NotTrainable:
        raise
    except Exception:
        progress(-counted)
        if len(stack) > 1:
            return _joined(run_stack(Task(run, panel=False), settings, progress) for run in stack.runs())
        run, *passed = stack.with_passed()
        why = Result([Record.for_run(run, run.strengths[0], run.seeds[0], "failed", error=traceback.format_exc())])
        if not passed:
            progress(stack.epochs)
            return why
        progress(stack.epochs - passed[-1].epochs)
        return _joined([why, run_stack(Task(passed[-1], panel=False), settings, progress)])  # maybe it gets so far


def require_a_batch(stack: MitigationStack, draw: ShortcutDataset) -> None:
    """Raises ValueError if a batch is larger than the training data: every run of the sweep would fail for it."""
    if stack.training.batch_size > len(draw.train):
        raise ValueError(
            f"training.batch_size = {stack.training.batch_size} is larger than the training data of {draw.id} "
            f"({len(draw.train)} inputs, {len(draw.validation)} more are held out for validation): lower it"
        )


def _joined(results: Iterable[Result]) -> Result:
    together = list(results)
    return Result(
        [record for result in together for record in result.records],
        dict(item for result in together for item in result.models.items()),
    )


def check_digest(dataset: str, seed: int, digest: str, recorded: str | None) -> None:
    """Raises DigestMismatch if a draw of a dataset was recorded with another digest."""
    if recorded is not None and recorded != digest:
        raise DigestMismatch(
            f"{dataset}, seed {seed}, differs from the data of finished runs: SHA-256 {digest[:12]}… now, "
            f"{recorded[:12]}… then. Restore the data, delete the old runs, or rename the changed data"
        )


def _beside_obstacles(
    stack: MitigationStack,
    task: Task,
    draws: list[ShortcutDataset],
    reasons: Mapping[int, str],
    settings: Settings,
    progress: Progress,
) -> Result:
    """The seeds whose data the mitigation can work with, trained; the others with the reason why it cannot."""
    able = replace(stack, seeds=tuple(seed for seed in stack.seeds if not reasons[seed]))
    progress(stack.epochs - able.epochs)
    hindered = [
        Record.for_run(own, strength, draw.seed, "inapplicable", error=reasons[draw.seed], digest=draw.digest())
        for own in stack.with_passed()
        for draw in draws
        if reasons[draw.seed]
        for strength in own.strengths
    ]
    if not able.seeds:
        return Result(hindered)
    result = run_stack(replace(task, stack=able), settings, progress)
    return replace(result, records=[*hindered, *result.records])


def failed(stack: Stack, error: str) -> Result:
    """Every run of a stack, and of those that would have come with it, as failed, for this reason."""
    return Result(
        [
            Record.for_run(own, strength, seed, "failed", error=error)
            for own in stack.with_passed()
            for seed in own.seeds
            for strength in own.strengths
        ]
    )


def _trained(
    stack: MitigationStack,
    task: Task,
    draws: list[ShortcutDataset],
    settings: Settings,
    progress: Progress,
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
        auto=stack.auto,
        sharers=settings.sharers,
    )
    begin = time.perf_counter()
    fitted = stack.mitigation.fit(trainer)
    per_stage = (time.perf_counter() - begin - trainer.clock.setup) / stack.mitigation.stages
    trained = list(zip(stack.with_passed(), (fitted, *fitted.passed), strict=True))
    recorded = [
        record
        for own, networks in trained
        for record in records(own, evaluations(own, trainer, networks, per_stage * own.mitigation.stages))
    ]
    models = (
        dict(item for pair in trained for item in _state_dicts(*pair, trainer.modules)) if settings.save_models else {}
    )
    return Result(recorded, models, picture(stack, trainer, fitted) if task.panel else None)


def draw(recipe: Recipe, seed: int) -> ShortcutDataset:
    """Draws a dataset, or gives the draw of the stack before, if neither the seed nor a data file is another."""
    return _drawn(recipe, seed, recipe.stamps())


@lru_cache(maxsize=8)
def _drawn(recipe: Recipe, seed: int, stamps: tuple[Stamp, ...]) -> ShortcutDataset:
    return recipe.make(seed)


def _state_dicts(
    stack: MitigationStack, fitted: Fitted, modules: Sequence[nn.Module]
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Each run's parameters, and what its network keeps beside them, such as BatchNorm's frozen statistics."""
    for row, seed in enumerate(stack.seeds):
        named = {name for name, _ in modules[row].named_parameters(remove_duplicate=False)}
        kept = {name: value.cpu().clone() for name, value in modules[row].state_dict().items() if name not in named}
        for column, strength in enumerate(stack.strengths):
            parameters = {name: value[row, column].cpu().clone() for name, value in fitted.parameters.items()}
            yield stack.key(strength, seed), {**parameters, **kept}
