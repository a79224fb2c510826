"""MLflow, where records are shown and shared; it is never asked which runs are finished.

A sweep is a parent run, a run its child. Every record is logged from its file, so that all that a server shows can be
made again (`rrrbench log SUITE`). Importing MLflow takes seconds, so it is imported when something is logged.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...methods.fitting import CURVES
from .database import create_database
from .delivered import Delivered
from .record import Record
from .records import RecordStore, picture_name, titled
from .server import Away, away, client_uri, is_sqlite, patient, shown, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

VIEW = {
    "searchFilter": "tags.kind = 'run'",
    "orderByKey": "metrics.`accuracy/random`",
    "orderByAsc": False,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "modelVersionFilter": "All Runs",
    "datasetsFilter": [],
    "selectedColumns": [
        *("params.`network`", "params.`mitigation`", "params.`masks`", "params.`strength`", "params.`seed`"),
        *("metrics.`accuracy/random`", "metrics.`flip_rate`", "metrics.`mass_abs_over_chance/input_gradient`"),
        "metrics.`liveness/end`",
    ],
}
"""A shared view of an experiment's page, as MLflow's page writes it: the runs, in these columns."""
METRICS_A_REQUEST = 900
"""A request has room for 1,000 entities; the parameters are in the first."""
PARAMETERS = ("dataset", "network", "training", "mitigation", "masks", "strength", "seed", "degenerate")
RECORD = "record.json"
"""The artifact that holds a run's whole record."""


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


class Mirror:
    """A suite's experiment on a tracking server.

    Args:
        uri: of the server, as `MLFLOW_TRACKING_URI` has it.
        experiment: the suite's name.
        store: where the records' state dicts and pictures lie.
    """

    def __init__(self, uri: str, experiment: str, store: RecordStore) -> None:
        self.uri, self.experiment, self.store = uri, experiment, store
        self._refused: dict[str, str] = {}
        self._known: Delivered | None = None

    @property
    def address(self) -> str:
        """The server's address for people to read, without user and password."""
        return shown(self.uri)

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

    def _delivered(self, anew: bool) -> Delivered:
        if self._known is None:
            experiment = self.client.get_experiment(self.experiment_id)
            place = f"{self.uri} {self.experiment_id} {experiment.creation_time}"
            self._known = Delivered(
                self.store.home / "delivered" / hashlib.sha256(place.encode()).hexdigest()[:16], anew
            )
        return self._known

    def describe(self, description: str) -> None:
        """Puts a description on the experiment's page, with a link to its runs, the most accurate first.

        Raises:
            Away: the server cannot be used.
        """
        with away(self.uri):
            view = f"#/experiments/{self.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
            tags = {
                "mlflow.note.content": f"{description}\n\n[Runs, the most accurate first]({view})",
                "mlflow.experimentKind": "custom_model_development",  # else MLflow shows it as GenAI's
                "mlflow.sharedViewState.runs": json.dumps(VIEW),
            }
            for name, value in tags.items():
                self.client.set_experiment_tag(self.experiment_id, name, value)

    def summarise(self, sweep_key: str, table: str, figure: Path | None) -> None:
        """Puts a Markdown table on the page of a sweep's run, and a figure, if there is one, among its artifacts.

        Raises:
            Away: the server cannot be used.
        """
        with away(self.uri):
            for run in self.search(f"tags.sweep_key = '{sweep_key}' and tags.kind = 'sweep'"):
                self.client.set_tag(run.info.run_id, "mlflow.note.content", table)
                if figure is not None:
                    self.client.log_artifact(run.info.run_id, str(figure), "summary")

    def search(self, query: str) -> list[Run]:
        """The runs that match, of all experiments."""
        experiments = [experiment.experiment_id for experiment in self.client.search_experiments()]
        found, token = [], None
        while True:
            page = self.client.search_runs(experiments, query, max_results=5000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    @cached_property
    def client(self) -> MlflowClient:
        """A client of the server; of a sqlite file that is not there or empty, the database is made first."""
        patient()
        if is_sqlite(self.uri):
            create_database(sqlite_path(self.uri))
        from mlflow import MlflowClient

        patient()  # again: MLflow sets its loggers' levels when it is imported
        return MlflowClient(client_uri(self.uri))

    @cached_property
    def experiment_id(self) -> str:
        """The experiment of this name; made if there is none.

        Raises:
            Away: somebody deleted it.
        """
        from mlflow.exceptions import MlflowException

        if (found := self._experiment()) is not None:
            return found
        local = is_sqlite(self.uri)
        artifacts = sqlite_path(self.uri).parent / "artifacts" / _file_name(self.experiment) if local else None
        try:
            return self.client.create_experiment(self.experiment, artifacts.as_uri() if artifacts else None)
        except MlflowException:  # another driver made it in this moment
            if (found := self._experiment()) is None:
                raise
            return found

    def restore_experiment(self) -> None:
        """Brings an experiment back that somebody deleted in MLflow.

        Raises:
            Away: the server cannot be used.
        """
        with away(self.uri):
            found = self.client.get_experiment_by_name(self.experiment)
            if found is not None and found.lifecycle_stage == "deleted":
                self.client.restore_experiment(found.experiment_id)

    def _experiment(self) -> str | None:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            raise Away(f"experiment {self.experiment!r} is deleted in MLflow")
        return None if found is None else found.experiment_id

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
                self._log_pictures(missing, parent)
                self._leave_one_each(records)
            self._delivered(False).add(_token(record) for record in records if record.run_key not in self._refused)

    def _try(self, record: Record, parent: str) -> None:
        """Logs a record. Where the server refuses it and answers otherwise, the refusal is remembered."""
        try:
            self._log_run(record, parent)
        except Exception as error:  # of MLflow, of a disk, of an object store
            self.client.search_experiments(max_results=1)  # raises if it is not this record, but the server
            if not _is_there(record, self._attempts([record])[record.run_key]):  # else another driver was faster
                self._refused[record.run_key] = f"MLflow refused run {record.run_key[:12]}…: {_first_line(error)}"

    def _parent(self, record: Record) -> str:
        """The run of the record's sweep, made if there is none; the first by id, where drivers made several at once."""
        query = f"tags.sweep_key = '{record.sweep_key}' and tags.kind = 'sweep' and attributes.status = 'FINISHED'"
        found = self.search(query)
        if not found:
            self._make_parent(record)
            found = self.search(query)
        first, *others = sorted(found, key=_id)
        for run in others:
            self.client.delete_run(run.info.run_id)
        return first.info.run_id

    def _make_parent(self, record: Record) -> None:
        run = self.client.create_run(
            self.experiment_id,
            run_name=" ".join(filter(None, (record.dataset, record.network, record.training))),
            tags={"kind": "sweep", "sweep_key": record.sweep_key, **record.provenance},
        )
        shared = {name: record.configuration[name] for name in ("protocol", "dataset", "network", "training")}
        self.client.log_dict(run.info.run_id, shared, "configuration.json")
        for name in ("dataset", "network", "training"):
            self.client.log_param(run.info.run_id, name, getattr(record, name))
        self.client.set_terminated(run.info.run_id)

    def _leave_one_each(self, records: Sequence[Record]) -> None:
        """Takes away all but one run of each key, whatever other drivers logged meanwhile.

        The first finished run by id stays. No driver takes it away, since none sees an earlier run: so a run is left,
        whatever the drivers' clocks say.
        """
        parent = self._parent(records[0])
        for runs in self._attempts(records).values():
            if finished := sorted((run for run in runs if run.info.status == "FINISHED"), key=_id):
                superfluous = [run for run in runs if run is not finished[0]]
            else:
                superfluous = sorted((run for run in runs if run.info.status == "FAILED"), key=_start)[:-1]
            for run in superfluous:
                self.client.delete_run(run.info.run_id)
            for run in runs:
                if run not in superfluous and run.data.tags["mlflow.parentRunId"] != parent:
                    self.client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)

    def _attempts(self, records: Sequence[Record]) -> dict[str, list[Run]]:
        """The server's runs by run key, finished or not. One search a stack: its cost grows with the table."""
        found: dict[str, list[Run]] = {record.run_key: [] for record in records}
        for stack_key in {record.stack_key for record in records}:
            for run in self.search(f"tags.stack_key = '{stack_key}'"):
                if run.data.tags["run_key"] in found:
                    found[run.data.tags["run_key"]].append(run)
        return found

    def _log_run(self, record: Record, parent: str) -> None:
        now = int(time.time() * 1000)
        failed = record.status == "failed"
        run = self.client.create_run(
            self.experiment_id,
            start_time=now - int(1000 * record.metrics.get("seconds", 0.0)),
            run_name=f"{titled(record.mitigation, record.masks)} {record.strength:.3g} seed {record.seed}",
            tags={**_tags(record), "mlflow.parentRunId": parent},
        )
        try:
            self._log_numbers(run.info.run_id, record, now)
            self._log_files(run.info.run_id, record)
            self.client.set_terminated(run.info.run_id, "FAILED" if failed else "FINISHED", int(time.time() * 1000))
        except Exception:
            with suppress(Exception):  # where the server is away, the next delivery takes the half run away
                self.client.delete_run(run.info.run_id)
            raise

    def _log_files(self, run_id: str, record: Record) -> None:
        if record.digest:
            self._log_input(run_id, record)
        self.client.log_text(run_id, record.model_dump_json(indent=1), RECORD)
        if record.status == "failed":
            self.client.log_text(run_id, record.error, "traceback.txt")
        model = self.store.model_path(record.run_key)
        if model.is_file():
            self._log_as(run_id, model, "state_dict.pt")

    def _log_numbers(self, run_id: str, record: Record, now: int) -> None:
        from mlflow.entities import Param

        parameters = {name: str(getattr(record, name)) for name in PARAMETERS}
        parameters |= {f"training.{name}": str(value) for name, value in record.configuration["training"].items()}
        metrics = list(_metrics(record, now))
        self.client.log_batch(run_id, metrics[:METRICS_A_REQUEST], [Param(*item) for item in parameters.items()])
        for start in range(METRICS_A_REQUEST, len(metrics), METRICS_A_REQUEST):
            self.client.log_batch(run_id, metrics[start : start + METRICS_A_REQUEST])

    def _log_input(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.exceptions import MlflowException

        recipe = json.dumps(record.configuration["dataset"], sort_keys=True)
        dataset = Dataset(record.dataset, record.digest[:32], source_type="rrrbench", source=recipe)
        tags = [InputTag("mlflow.data.context", "train"), InputTag("sha256", record.digest)]
        try:
            self.client.log_inputs(run_id, [DatasetInput(dataset, tags)])
        except MlflowException as error:
            if error.error_code != "BAD_REQUEST":
                raise
            # MLflow looks for the dataset, then adds it: another driver was between the two, so now it is there
            self.client.log_inputs(run_id, [DatasetInput(dataset, tags)])

    def _log_pictures(self, records: Sequence[Record], parent: str) -> None:
        for name, path in {picture_name(r.mitigation, r.masks): self.store.picture(r) for r in records}.items():
            if path is not None:
                self._log_as(parent, path, f"pictures/{name}")

    def _log_as(self, run_id: str, path: Path, artifact: str) -> None:
        """A file as an artifact of another name."""
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder) / Path(artifact).name
            os.symlink(path.absolute(), named)
            self.client.log_artifact(run_id, str(named), str(Path(artifact).parent) if "/" in artifact else None)


def _tags(record: Record) -> dict[str, str]:
    error = (record.error.strip().splitlines() or [""])[-1][:500]
    return {
        "kind": "run",
        "run_key": record.run_key,
        "sweep_key": record.sweep_key,
        "stack_key": record.stack_key,
        "status": record.status,
        "needs": record.needs,
        "dataset_key": record.dataset_key,
        "dataset_digest": record.digest,
        "protocol_version": record.protocol,
        "flips": json.dumps(record.flips),
        **({"error": error} if error else {}),
        **record.provenance,
    }


def _metrics(record: Record, now: int) -> Iterator[Metric]:
    """A record's numbers as MLflow takes them: without NaN, under names that it allows, curves by epoch."""
    from mlflow.entities import Metric

    epochs = {name: record.curves[name] for name in CURVES if name in record.curves}
    last = max(map(len, epochs.values()), default=0)
    for name, value in record.metrics.items():
        if name not in epochs and value == value:
            yield Metric(allowed(name), value, now, last)
    for name, curve in epochs.items():
        yield from (Metric(name, value, now, epoch) for epoch, value in enumerate(curve, start=1) if value == value)


def allowed(name: str) -> str:
    """A metric's name with underscores for the characters that MLflow refuses: those of `[n_samples=2]`."""
    return re.sub(r"[^\w\-./ :]", "_", name)[:250]


def _is_there(record: Record, attempts: Iterable[Run]) -> bool:
    """Whether the server has this run: finished, or, where the record is a failure, failed in the same way."""
    error = _tags(record).get("error")
    return any(
        run.info.status == "FINISHED"
        or (record.status == "failed" and run.info.status == "FAILED" and run.data.tags.get("error") == error)
        for run in attempts
    )


def _by_stack(records: Iterable[Record]) -> list[list[Record]]:
    stacks: dict[str, list[Record]] = {}
    for record in records:
        stacks.setdefault(record.stack_key, []).append(record)
    return list(stacks.values())


def _token(record: Record) -> str:
    """What is remembered of a delivered record: a failure that differs from the last is delivered too."""
    failure = f"!{hashlib.sha256(record.error.encode()).hexdigest()[:8]}" if record.status == "failed" else ""
    return record.run_key + failure


def _file_name(name: str) -> str:
    """A suite's name as a folder's: without separators."""
    return re.sub(r"[^\w\-. ]", "_", name)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _id(run: Run) -> str:
    return run.info.run_id


def _start(run: Run) -> tuple[int, str]:
    return run.info.start_time, run.info.run_id
