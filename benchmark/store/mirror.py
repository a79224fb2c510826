"""MLflow, where records are shown and shared; it is never asked which runs are finished.

A sweep is a parent run, a run its child. Every record is logged from its file, so that all that a server shows can be
made again (`rrrbench log SUITE`). Importing MLflow takes seconds, so it is imported when something is logged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from .delivered import Delivered
from .experiment import Experiment
from .record import Record
from .records import RecordStore
from .server import Away, away, reason_of
from .writing import RunWriter, abandoned, tags_of

if TYPE_CHECKING:
    from mlflow.entities import Run

Progress = Callable[[int], object]


def _silent(records: int) -> None:
    pass


@dataclass
class Undelivered:
    """Records that are not in MLflow.

    Attributes:
        records: the records.
        reason: why the server could not be used at all; empty if it could.
        refused: by run key, why the server refused a record.
    """

    records: list[Record] = field(default_factory=list)
    reason: str = ""
    refused: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __str__(self) -> str:
        return self.reason or next(iter(self.refused.values()), "")


class Mirror(Experiment):
    """A suite's experiment, to which records are delivered.

    Args:
        uri: of the server, as `MLFLOW_TRACKING_URI` has it.
        experiment: the suite's name.
        store: where the records' state dicts and pictures lie.
    """

    def __init__(self, uri: str, experiment: str, store: RecordStore) -> None:
        super().__init__(uri, experiment)
        self.store = store
        self._refused: dict[str, str] = {}
        self._known: Delivered | None = None

    def deliver(self, records: Sequence[Record], *, anew: bool = False, progress: Progress = _silent) -> Undelivered:
        """Logs the records that the server lacks, with the pictures of their sweeps.

        A run that the server has already is left alone, whichever suite logged it. A record that the server refuses
        holds up no other.

        Args:
            anew: asks the server about every record, also about those that were delivered to it before.
            progress: called with a number of records that were delivered or found there.
        """
        if not records:
            return Undelivered()
        known, todo = set(), list(records)
        try:
            with away(self.uri):
                known = self._delivered(anew)
            todo = [record for record in records if _token(record) not in known and record.run_key not in self._refused]
            for stack in _by_stack(todo):
                self._deliver_stack(stack)
                progress(len(stack))
        except Away as error:
            reason = str(error)
        else:
            reason = ""
        waiting = [record for record in records if _token(record) not in known]
        keys = {record.run_key for record in waiting}
        return Undelivered(waiting, reason, {key: why for key, why in self._refused.items() if key in keys})

    @cached_property
    def writer(self) -> RunWriter:
        """Writes runs into this experiment."""
        return RunWriter(self.client, self.experiment_id, self.store)

    def _delivered(self, anew: bool) -> Delivered:
        if self._known is None:
            experiment = self.client.get_experiment(self.experiment_id)
            place = f"{self.address} {self.experiment_id} {experiment.creation_time}"
            self._known = Delivered(
                self.store.home / "delivered" / hashlib.sha256(place.encode()).hexdigest()[:16], anew
            )
        return self._known

    def _deliver_stack(self, records: Sequence[Record]) -> None:
        """Logs the records of one mitigation in one sweep that the server lacks.

        Raises:
            Away: the server cannot be used.
        """
        with away(self.uri):
            attempts = self._attempts(records)
            missing = [record for record in records if not _is_there(record, attempts[record.run_key])]
            if missing:
                parent = self._parent(records[0])
                for record in missing:
                    self._try(record, parent)
                self.writer.pictures(missing, parent)
                self._leave_one_each(records)
            self._delivered(False).add(_token(record) for record in records if record.run_key not in self._refused)

    def _try(self, record: Record, parent: str) -> None:
        """Logs a record. Where the server refuses it and answers otherwise, the refusal is remembered."""
        try:
            self.writer.run(record, parent)
        except Exception as error:  # of MLflow, of a disk, of an object store
            self.client.search_experiments(max_results=1)  # raises if it is not this record, but the server
            if not _is_there(record, self._attempts([record])[record.run_key]):  # else another driver was faster
                self._refused[record.run_key] = (
                    f"MLflow refused run {record.run_key[:12]}…: {reason_of(error, self.uri)}"
                )

    def _parent(self, record: Record) -> str:
        """The run of the record's sweep, made if there is none; the first by id, where drivers made several at once."""
        query = f"tags.sweep_key = '{record.sweep_key}' and tags.kind = 'sweep' and attributes.status = 'FINISHED'"
        found = self.search(query)
        if not found:
            self.writer.sweep(record)
            found = self.search(query)
        first, *others = sorted(found, key=_id)
        for run in others:
            self.client.delete_run(run.info.run_id)
        return first.info.run_id

    def _leave_one_each(self, records: Sequence[Record]) -> None:
        """Takes away all but one run of each key, whatever other drivers logged meanwhile.

        The first finished run by id stays, and of the others go the later ones, and those that a killed driver left. An
        earlier one that is still written stays: its driver finishes it, and then takes this one away. So the earliest
        of all that were ever finished is never taken away, whatever the drivers' clocks say.
        """
        parent = self._parent(records[0])
        for runs in self._attempts(records).values():
            if finished := sorted((run for run in runs if run.info.status == "FINISHED"), key=_id):
                superfluous = [run for run in runs if _id(run) > _id(finished[0]) or _left_over(run)]
            else:
                superfluous = sorted((run for run in runs if run.info.status == "FAILED"), key=_start)[:-1]
            for run in superfluous:
                self.client.delete_run(run.info.run_id)
            for run in runs:
                if run not in superfluous and run.data.tags["mlflow.parentRunId"] != parent:
                    self.set_tag(run.info.run_id, "mlflow.parentRunId", parent)

    def _attempts(self, records: Sequence[Record]) -> dict[str, list[Run]]:
        """The server's runs by run key, finished or not. One search a stack: its cost grows with the table."""
        found: dict[str, list[Run]] = {record.run_key: [] for record in records}
        for stack_key in {record.stack_key for record in records}:
            for run in self.search(f"tags.stack_key = '{stack_key}'"):
                if run.data.tags["run_key"] in found:
                    found[run.data.tags["run_key"]].append(run)
        return found


def _is_there(record: Record, attempts: Iterable[Run]) -> bool:
    """Whether the server has this run: finished, or, where the record is a failure, failed in the same way."""
    error = tags_of(record).get("error")
    return any(
        run.info.status == "FINISHED"
        or (record.status == "failed" and run.info.status == "FAILED" and run.data.tags.get("error") == error)
        for run in attempts
    )


def _left_over(run: Run) -> bool:
    return run.info.status == "FAILED" or (run.info.status != "FINISHED" and abandoned(run))


def _by_stack(records: Iterable[Record]) -> list[list[Record]]:
    stacks: dict[str, list[Record]] = {}
    for record in records:
        stacks.setdefault(record.stack_key, []).append(record)
    return list(stacks.values())


def _token(record: Record) -> str:
    """What is remembered of a delivered record: a failure that differs from the last is delivered too."""
    failure = f"!{hashlib.sha256(record.error.encode()).hexdigest()[:8]}" if record.status == "failed" else ""
    return record.run_key + failure


def _id(run: Run) -> str:
    return run.info.run_id


def _start(run: Run) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id
