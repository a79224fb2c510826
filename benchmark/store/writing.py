"""A record as MLflow shows it: a run with parameters, numbers, curves, tags and artifacts."""

from __future__ import annotations

import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ...methods.fitting import CURVES
from .record import Record
from .records import RecordStore, picture_name, titled

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

METRICS_A_REQUEST = 900
"""A request has room for 1,000 entities; the parameters are in the first."""
PARAMETERS = ("dataset", "network", "training", "mitigation", "masks", "strength", "seed", "degenerate")
RECORD = "record.json"
"""The artifact that holds a run's whole record."""


WRITER = "writer"
"""The tag with host and process of a run's driver."""
WRITTEN = "written"
"""The tag with the second at which the driver began to write."""
ABANDONED_AFTER = 900.0
"""Seconds after which a run that another host writes is taken for one whose driver was killed."""


def _written_by() -> dict[str, str]:
    return {WRITER: f"{socket.gethostname()} {os.getpid()}", WRITTEN: f"{time.time():.0f}"}


def abandoned(run: Run) -> bool:
    """Whether an unfinished run's driver is gone: its process, or, on another host, its time."""
    host, _, process = run.data.tags.get(WRITER, "").rpartition(" ")
    if host == socket.gethostname():
        return not psutil.pid_exists(int(process))
    written = run.data.tags.get(WRITTEN, "0")
    return time.time() - float(written) > ABANDONED_AFTER


class RunWriter:
    """Writes runs into an experiment.

    Args:
        store: where the records' state dicts and pictures lie.
    """

    def __init__(self, client: MlflowClient, experiment_id: str, store: RecordStore) -> None:
        self.client, self.experiment_id, self.store = client, experiment_id, store

    def sweep(self, record: Record) -> None:
        """Writes the run of the record's sweep."""
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

    def run(self, record: Record, parent: str) -> None:
        """Writes a record as a child of its sweep's run; it is FINISHED, or FAILED, when all of it is there."""
        now = int(time.time() * 1000)
        failed = record.status == "failed"
        run = self.client.create_run(
            self.experiment_id,
            start_time=now - int(1000 * record.metrics.get("seconds", 0.0)),
            run_name=f"{titled(record.mitigation, record.masks)} {record.strength:.3g} seed {record.seed}",
            tags={**tags_of(record), "mlflow.parentRunId": parent, **_written_by()},
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

    def pictures(self, records: Iterable[Record], parent: str) -> None:
        """Writes the pictures of these records' mitigations to the run of their sweep."""
        for name, path in {picture_name(r.mitigation, r.masks): self.store.picture(r) for r in records}.items():
            if path is not None:
                self._log_as(parent, path, f"pictures/{name}")

    def _log_as(self, run_id: str, path: Path, artifact: str) -> None:
        """A file as an artifact of another name."""
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder) / Path(artifact).name
            os.symlink(path.absolute(), named)
            self.client.log_artifact(run_id, str(named), str(Path(artifact).parent) if "/" in artifact else None)


def tags_of(record: Record) -> dict[str, str]:
    """What a run's tags say of its record."""
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
