"""Runs a suite from beginning to end: skips finished runs, trains the others, keeps each stack's records as it ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ...datasets.files import Stamp
from ...datasets.own_code import loaded
from ...datasets.sources import MissingData
from ..store.mirror import Mirror, Undelivered
from ..store.record import Record
from ..store.records import RecordStore
from ..store.server import is_shared, tracking_uri
from ..store.team import bring
from ..suite.stack import Stack
from ..suite.sweep import Suite
from .choices import Choices
from .course import Course
from .data_files import DataFiles
from .earlier_files import of_earlier_files
from .executors import Executor, Result, Settings, Task, check_digest
from .executors.auto import Auto
from .executors.here import Here
from .forecast import Forecast, cautions, missing_data
from .picture import Panels
from .place import Place, faster, load
from .progress import Pace, progress, said_if_long
from .suitable import require_suitable
from .timing import TIMING_SECONDS, courses, threads

AGAIN_AFTER = 60.0
"""Seconds after which a tracking server that was away is tried again while training goes on."""
ONCE_MORE_AFTER = 5.0
"""Seconds after which it is tried once more when all is trained."""


@dataclass(frozen=True)
class Outcome:
    """What a session did.

    Attributes:
        trained: how many runs were trained now.
        failed: the records of runs that raised; they are tried again by the next session.
        files: the files of the data; None if they changed meanwhile.
        of_earlier_files: how many finished runs differ from the suite's in the content of weights or code alone.
        undelivered: which records MLflow lacks, and why; falsy if it lacks none.
    """

    runs: int
    trained: int
    failed: tuple[Record, ...] = ()
    undelivered: Undelivered = field(default_factory=Undelivered)
    files: list[Stamp] | None = None
    of_earlier_files: int = 0


class Session:
    """Runs one suite, keeps its records in one folder, and logs them to one tracking server.

    Args:
        home: the folder of results.
        uri: of the tracking server; `MLFLOW_TRACKING_URI`, else the folder's own database, if not given.
        executor: where stacks are trained; in this process if not given. `Auto` is replaced by what the forecast says.
        minutes: after so many no further stack is begun; the next session trains the stacks that are left.
        log: records are delivered to MLflow.
        tell: is given the forecast before anything is trained. Without it nothing is timed, and the bar counts epochs.
        quiet: shows no bar.
    """

    def __init__(
        self,
        suite: Suite,
        home: Path,
        uri: str | None = None,
        settings: Settings | None = None,
        executor: Executor | None = None,
        minutes: float = math.inf,
        log: bool = True,
        tell: Callable[[Forecast], object] | None = None,
        quiet: bool = False,
    ) -> None:
        self.suite = suite
        self.store = RecordStore(home)
        self.panels = Panels(self.store)
        self.mirror = Mirror(uri or tracking_uri(home), suite.name, self.store)
        self.choices = Choices(home / "engine.json")
        self.settings = replace(
            settings or Settings(), choices=self.choices, save_models=suite.save_models, own_code=loaded(), home=home
        )
        self.executor = executor or Here()
        self.deadline = time.monotonic() + 60 * minutes
        self.tell, self.quiet = tell, quiet
        self.records: dict[str, Record] = {}
        self._log = log
        self._trained = 0
        self._undelivered = Undelivered()
        self._away_since = -math.inf

    def run(self) -> Outcome:
        """Trains the runs that are not finished.

        Every record is a file before MLflow hears of it, so a kill, a full disk or a server that is away loses nothing
        that was finished.

        Raises:
            OSError: the folder of results cannot be written.
            DigestMismatch: the data are not those of finished runs, or a file of theirs was replaced.
            MissingData: files of a dataset are not on this machine, and no other machine trains; nothing was trained.
            ValueError: a sweep's data, network or batches do not fit; nothing was trained.
        """
        torch.set_flush_denormal(True)
        stacks, keys = self.suite.stacks(), self.suite.keys()
        self.records = self.store.finished(keys)
        if is_shared() and (missing := set(keys) - self.records.keys()):
            wanted = {key: Record.known_of(stack, *place) for stack in stacks for key, place in stack.places().items()
                      if key in missing}  # fmt: skip
            if reason := bring(self.mirror, wanted, {stack.sweep_key for stack in stacks})[1]:
                self._undelivered, self._away_since = Undelivered(reason=reason), time.monotonic()
            self.records = self.store.finished(keys)
        self.data_files = DataFiles(self.store, stacks)
        self.data_files.check(self.records.values())
        self._deliver(self.records.values())
        due = set(keys) - self.records.keys()
        if due:
            self.store.require_writable()
        left = _left(stacks, self.records.keys())
        self._require_suitable(left)
        expected = None
        if left and (self.tell is not None or isinstance(self.executor, Auto)):
            expected = self._forecast(left)
        if expected is not None and self.tell is not None:
            self.tell(expected)
        absent = missing_data(left) if expected is None else expected.missing
        if absent and not self.executor.elsewhere:
            raise MissingData("\n".join(f"{own.dataset}: {own.reason}" for own in absent))
        self._train(left, due, expected)
        if not self.data_files.unchanged():
            self.data_files.check(self.records.values())
        if self._undelivered and time.monotonic() > self._away_since + ONCE_MORE_AFTER:
            self._away_since = -math.inf
            self._deliver([])
        failed = tuple(record for record in self.records.values() if record.status == "failed")
        files = self.data_files.files() if self.data_files.unchanged() else None
        earlier = of_earlier_files(self.store, stacks, keys)
        return Outcome(len(keys), self._trained, failed, self._undelivered, files, earlier)

    def forecast(self) -> Forecast:
        """What `run` would do; trains nothing, and takes seconds.

        Raises:
            DigestMismatch: a data file of finished runs was replaced.
            ValueError: a sweep's data, network or batches do not fit.
        """
        torch.set_flush_denormal(True)
        self.settings = replace(self.settings, choices=dict(self.choices))  # a file of the home is not written
        stacks = self.suite.stacks()
        self.records = self.store.finished(self.suite.keys())
        DataFiles(self.store, stacks, notes=False).check(self.records.values())
        left = _left(stacks, self.records.keys())
        self._require_suitable(left)
        return self._forecast(left)

    def _require_suitable(self, left: list[Stack]) -> None:
        runs = sum(map(len, left))
        doing = f"{self.suite.name}: {runs} runs are left; drawing the data, and asking each network to train on them"
        with said_if_long(doing, self.quiet):
            require_suitable(left)

    def _forecast(self, left: list[Stack]) -> Forecast:
        missing = missing_data(left)
        workers = self.executor.side_by_side(self.settings.device)
        busy = load()
        doing = f"{self.suite.name}: timing a few steps of each kind of stack, to say how long all will take"
        with said_if_long(doing, self.quiet), threads(1 if workers > 1 else torch.get_num_threads()):
            absent = {own.dataset for own in missing}
            wall, cpu = time.perf_counter(), time.thread_time()
            expected, inapplicable, guessed = courses(left, self.settings, absent, self._patience())
            share = min(1.0, (time.thread_time() - cpu) / (time.perf_counter() - wall))
        place = Place(self.executor, expected, "")
        if isinstance(self.executor, Auto):
            place = faster(expected, self.settings, self._timed_alone)
            self.executor = place.executor
        return Forecast(
            suite=self.suite.name,
            runs=len(self.suite.keys()),
            finished=len(self.records),
            left=tuple(left),
            inapplicable=inapplicable,
            missing=missing,
            cautions=cautions(left, absent),
            home=self.store.home,
            uri=self.mirror.uri,
            courses=place.courses,
            guessed=guessed,
            side_by_side=self.executor.side_by_side(self.settings.device),
            where=place.words,
            load=busy,
            share=share,
        )

    def _timed_alone(self, stack: Stack) -> Course | None:
        """The course of a stack that one thread trains; None if its timing fails. No choice of an engine is kept."""
        with threads(1):
            timed = courses([stack], replace(self.settings, choices=dict(self.choices)), patience=self._patience())[0]
        return timed.get(stack)

    def _patience(self) -> float:
        """Seconds for timing stacks: none where others train, little where little time was given."""
        given = max(0.0, self.deadline - time.monotonic())
        return 0.0 if self.executor.elsewhere else min(TIMING_SECONDS, given / 20)

    def _train(self, stacks: list[Stack], due: set[str], expected: Forecast | None = None) -> None:
        total, courses = len(self.suite.keys()), expected.courses if expected else {}
        work = expected.work if expected and courses else sum(stack.epochs for stack in stacks)
        with progress(Pace(work, expected.seconds if expected else None), self.quiet) as bar:

            def describe(stack: Stack) -> None:
                bar.describe(f"runs {len(self.records)}/{total} · {stack.dataset.id} {stack.label}")

            def tasks() -> Iterator[Task]:
                for i, stack in enumerate(stacks, start=1):
                    if time.monotonic() >= self.deadline:
                        return
                    for task in self._tasks(stack, due, after=len(stacks) - i):
                        describe(task.stack)
                        course = courses.get(stack)
                        yield replace(task, course=course and course.part(len(task.stack) / len(stack)))

            with closing(self.executor.results(tasks(), self.settings, bar.update)) as results:
                for stack, result in results:
                    kept = self._keep(result, due)
                    self.data_files.note(stack.dataset, kept)
                    describe(stack)
                    self._deliver(kept)

    def _keep(self, result: Result, due: set[str]) -> list[Record]:
        """Writes a stack's records that were due, and before them their picture and models."""
        for record in result.records:
            if record.digest:
                check_digest(record.dataset, record.seed, record.digest, self.store.digest(record.dataset_key))
        records = [record for record in result.records if record.run_key in due]
        if result.panel is not None and records:
            self.panels.keep(records[0], result.panel)
        for record in records:
            self.store.put(record, result.models.get(record.run_key))
            self.records[record.run_key] = record
        self._trained += len(records)
        return records

    def _deliver(self, records: Iterable[Record]) -> None:
        """Logs records to MLflow, and those that wait; not while a server that was away is given time to come back."""
        if not self._log:
            return
        waiting = [*self._undelivered.records, *records]
        if time.monotonic() < self._away_since + AGAIN_AFTER:
            self._undelivered = replace(self._undelivered, records=waiting)
            return
        self._undelivered = self.mirror.deliver(waiting)
        if self._undelivered.reason:
            self._away_since = time.monotonic()

    def _tasks(self, stack: Stack, due: set[str], after: int) -> list[Task]:
        """The runs of a stack that are left: another driver in this folder may have finished some by now."""
        family = stack.with_passed()
        keys = [key for member in family for key in member.places()]
        self.records |= {key: record for key, record in self.store.finished(keys).items() if key in due}
        finished = {key for key in keys if key in self.records or key not in due}
        digests = {key: self.store.digest(key) for key in map(stack.dataset_key, stack.seeds)}
        known = {key: digest for key, digest in digests.items() if digest}
        return [Task(part, known, after) for part in _left(family, finished)]


def _left(stacks: Iterable[Stack], finished: Collection[str]) -> list[Stack]:
    """Runs still to train: without finished keys, keys of an earlier stack, and by-products of a stack (`passes`)."""
    left, taken = [], set(finished)
    for stack in stacks:
        parts = list(stack.without(taken))
        left += parts
        taken |= {key for part in parts for key in part.places()}
    byproducts = [byproduct for stack in left for byproduct in stack.with_passed()[1:]]
    passed = {key for byproduct in byproducts for key in byproduct.places()}
    return [part for stack in left for part in stack.without(passed)]
