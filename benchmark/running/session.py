"""A suite from beginning to end: skip what is finished, train the rest, and log each stack as it ends."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Collection, Iterable, Iterator, MutableMapping
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..store.outbox import Outbox, write_whole
from ..store.record import Record
from ..store.tracking import LOCAL, Tracker, finished_keys
from ..suite.stack import Stack
from ..suite.sweep import Suite
from .executors import Executor, Settings, Task, check_digest
from .executors.here import Here

PAUSES = (0, 2, 5, 10, 20, 40, 60)
"""Seconds before each further try to deliver, when all is trained and the store is away."""


@dataclass(frozen=True)
class Outcome:
    """What a session did.

    Attributes:
        failed: the records of runs that raised; they are tried again by the next session.
        undelivered: why records are still in the outbox; empty if none are.
    """

    runs: int
    trained: int
    failed: tuple[Record, ...] = ()
    undelivered: str = ""


class Session:
    """Runs one suite and logs to one tracking store.

    Args:
        executor: where stacks are trained; in this process if not said.
        minutes: after so many no further stack is begun; what is then left, the next session trains.
        local: the folder of the outbox and of what the engine found fastest.
    """

    def __init__(
        self,
        suite: Suite,
        uri: str,
        settings: Settings | None = None,
        local: Path = LOCAL,
        executor: Executor | None = None,
        minutes: float = math.inf,
    ) -> None:
        self.suite = suite
        self.uri = uri
        self.tracker = Tracker(uri, suite.name)
        self.outbox = Outbox(local / "outbox")
        self.choices = Choices(local / "engine.json")
        self.digests: dict[str, str] = {}
        self.settings = replace(settings or Settings(), choices=self.choices, save_models=suite.save_models)
        self.executor = executor or Here()
        self.deadline = time.monotonic() + 60 * minutes

    def run(self) -> Outcome:
        """Trains what is not finished.

        A stack's records are on disk before they are logged, so what was finished survives a kill, a full disk of the
        tracking server, or its absence: the next session delivers it.
        """
        torch.set_flush_denormal(True)
        stacks, failed = self.suite.stacks(), []
        total = len(self.suite.keys())
        if len(finished_keys(self.uri) & set(self.suite.keys())) == total:
            return Outcome(total, 0)
        undelivered = self._deliver()
        taken = finished_keys(self.uri) | self._waiting()
        missing, due, trained = _left(stacks, taken), set(self.suite.keys()) - taken, 0
        with _bar(missing) as bar:

            def tasks() -> Iterator[Task]:
                for i, stack in enumerate(missing, start=1):
                    if time.monotonic() >= self.deadline:
                        return
                    for task in self._tasks(stack, due, after=len(missing) - i):
                        bar.set_description_str(_description(total - len(due) + trained, total, task.stack))
                        yield task

            with closing(self.executor.results(tasks(), self.settings, bar.update)) as results:
                for stack, result in results:
                    self._check(result.records)
                    records = [record for record in result.records if record.run_key in due]
                    self.outbox.put(self.suite.name, records, result.models, result.panel)
                    undelivered = self._deliver()
                    failed += [record for record in records if record.status == "failed"]
                    trained += len(records)
                    bar.set_description_str(_description(total - len(due) + trained, total, stack))
        for pause in PAUSES:
            if not undelivered:
                break
            tqdm.write(f"the store is away ({undelivered[:100]}): trying again in {pause} s", file=sys.stderr)
            time.sleep(pause)
            undelivered = self._deliver()
        return Outcome(total, trained, tuple(failed), undelivered)

    def _deliver(self) -> str:
        """Logs what waits in the outbox; the reason if it could not."""
        for path, parcel in self.outbox.parcels():
            try:
                tracker = self.tracker if parcel.suite == self.suite.name else Tracker(self.uri, parcel.suite)
                parent = tracker.log(parcel.records, self.outbox.models(path))
                if (panel := self.outbox.panel(path)) is not None:
                    tracker.log_picture(parent, panel, parcel.records[0])
            except Exception as error:  # whatever the store raises: the parcel stays, training goes on
                if not path.exists():
                    continue  # another session delivered it
                first_line = (str(error).strip().splitlines() or ["no reason given"])[0]
                return f"{type(error).__name__}: {first_line}"
            self.outbox.remove(path)
        return ""

    def _tasks(self, stack: Stack, due: set[str], after: int) -> list[Task]:
        """What is left of a stack and of those that it passes: another session may have trained some by now."""
        left, family = [stack], stack.with_passed()
        with suppress(Exception):  # the store is away: train now, deliver when it is back
            finished = set().union(*(self.tracker.finished(one) for one in family))
            others = {key for one in family for key in one.places()} - due
            left = _left(family, finished | others | self._waiting())
            self.digests |= self.tracker.digests(stack.dataset_key(seed) for seed in stack.seeds)
        return [Task(part, dict(self.digests), after) for part in left]

    def _check(self, records: Iterable[Record]) -> None:
        """Raises DigestMismatch if two trainings that ran at the same time had different data under one key."""
        for record in records:
            if record.digest:
                recorded = self.digests.setdefault(record.dataset_key, record.digest)
                check_digest(record.dataset, record.seed, record.digest, recorded)

    def _waiting(self) -> set[str]:
        """The keys of runs that wait in the outbox, and need no training either."""
        waiting = (record for _, parcel in self.outbox.parcels() for record in parcel.records)
        return {record.run_key for record in waiting if record.status != "failed"}


def _left(stacks: Iterable[Stack], taken: Collection[str]) -> list[Stack]:
    """What of the stacks is to be trained: not what is taken, what another has too, or what comes with another's."""
    left, taken = [], set(taken)
    for stack in stacks:
        parts = list(stack.without(taken))
        left += parts
        taken |= {key for part in parts for key in part.places()}
    passed = {key for stack in left for _, *others in [stack.with_passed()] for one in others for key in one.places()}
    return [part for stack in left for part in stack.without(passed)]


class Choices(MutableMapping[str, str]):
    """What `--engine auto` found fastest, kept in a file so that a resumed sweep takes the same way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}

    def __getitem__(self, key: str) -> str:
        return self._known[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._known[key] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, json.dumps(self._known, indent=2, sort_keys=True))

    def __delitem__(self, key: str) -> None:
        del self._known[key]

    def __iter__(self):  # noqa: ANN204
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _bar(stacks: list[Stack]) -> tqdm:
    return tqdm(
        total=sum(stack.epochs for stack in stacks),
        bar_format="{percentage:3.0f}%|{bar:24}| {desc} [{elapsed}<{remaining}]",
        mininterval=0.5 if sys.stderr.isatty() else 20,
    )


def _description(done: int, total: int, stack: Stack) -> str:
    return f"runs {done}/{total} · {stack.dataset.id} {stack.label}"
