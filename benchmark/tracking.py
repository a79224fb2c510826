"""MLflow: the only file that knows it. Imported late everywhere, because importing it takes seconds."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

    from .record import Record

LOCAL = Path("results/local")
IDENTITY = ("dataset", "network", "mitigation", "strength", "seed", "run_key", "status", "needs")
"""The columns of a record before its metrics."""
METRICS_A_REQUEST = 1000
LOCK_SECONDS = 30.0
"""How long another program's lock on a sqlite store is waited for."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else a sqlite file below the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(LOCAL / 'mlflow.db').absolute()}"


def finished_keys(uri: str) -> set[str]:
    """The run keys that need no training: those of runs that MLflow has as FINISHED.

    A sqlite store is asked directly, because importing MLflow takes longer than everything else here.
    """
    return set(_tag_of_finished_runs(uri, "run_key"))


class Tracker:
    """One suite's place in MLflow: an experiment, with a parent run a sweep and a child run a run."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self._parents: dict[str, str] = {}

    @cached_property
    def client(self) -> MlflowClient:
        """A client of an initialised store; the first process to ask creates database and experiment.

        Raises:
            OSError: the database's folder cannot be made.
        """
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it reports every table it creates
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return MlflowClient(self.uri)

    @cached_property
    def experiment_id(self) -> str:
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return found.experiment_id
        local = self.uri.startswith("sqlite:///")
        artifacts = (Path(self.uri.removeprefix("sqlite:///")).parent / "artifacts" / self.experiment).absolute()
        return self.client.create_experiment(self.experiment, artifacts.as_uri() if local else None)

    def parent(self, record: Record) -> str:
        """The run of the record's sweep; made if this experiment has none."""
        if record.sweep_key not in self._parents:
            self._parents[record.sweep_key] = self._parent(record)
        return self._parents[record.sweep_key]

    def _parent(self, record: Record) -> str:
        found = self._search(f"tags.sweep_key = '{record.sweep_key}' and tags.kind = 'sweep'")
        if found:
            return found[0].info.run_id
        run = self.client.create_run(
            self.experiment_id,
            run_name=f"{record.dataset} {record.network}",
            tags={"kind": "sweep", "sweep_key": record.sweep_key, **_provenance()},
        )
        shared = {name: record.configuration[name] for name in ("protocol", "dataset", "network", "training")}
        self.client.log_dict(run.info.run_id, shared, "configuration.json")
        for name in ("dataset", "network"):
            self.client.log_param(run.info.run_id, name, getattr(record, name))
        self.client.set_terminated(run.info.run_id)
        return run.info.run_id

    def log(self, record: Record, parent: str, model: Mapping[str, Any] | None = None) -> None:
        """One child run, whole; an earlier attempt at the same run key is deleted first, a finished one is left alone.

        Raises:
            mlflow.exceptions.MlflowException: the store cannot be written; the run is then not FINISHED.
        """
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.exceptions import MlflowException

        earlier = self._search(f"tags.run_key = '{record.run_key}'")
        if any(run.info.status == "FINISHED" for run in earlier):
            return
        for run in earlier:
            with suppress(MlflowException):
                self.client.delete_run(run.info.run_id)
        now = int(time.time() * 1000)
        seconds = record.metrics.get("seconds", 0.0)
        run = self.client.create_run(
            self.experiment_id,
            start_time=now - int(1000 * seconds),
            run_name=f"{record.mitigation} {record.strength:.3g} seed {record.seed}",
            tags={"mlflow.parentRunId": parent, "kind": "run", "run_key": record.run_key, "sweep_key": record.sweep_key,
                  "status": record.status, "needs": record.needs, "dataset_key": record.dataset_key,
                  "dataset_digest": record.digest, "protocol_version": record.configuration["protocol"],
                  **_provenance()},
        )  # fmt: skip
        run_id = run.info.run_id
        identity = ("dataset", "network", "mitigation", "strength", "seed", "degenerate")
        parameters = {name: str(getattr(record, name)) for name in identity}
        parameters |= {f"training.{name}": str(value) for name, value in record.configuration["training"].items()}
        steps = {name: len(curve) for name, curve in record.curves.items()}
        last = max(steps.values(), default=0)
        values = [Metric(name, value, now, last) for name, value in record.metrics.items() if name not in steps]
        values += [
            Metric(name, value, now, epoch)
            for name, curve in record.curves.items()
            for epoch, value in enumerate(curve, start=1)
        ]
        values = [value for value in values if value.value == value.value]  # MLflow cannot store NaN everywhere
        self.client.log_batch(run_id, params=[Param(*item) for item in parameters.items()])
        for start in range(0, len(values), METRICS_A_REQUEST):
            self.client.log_batch(run_id, metrics=values[start : start + METRICS_A_REQUEST])
        if record.digest:
            self._log_input(run_id, record)
        self.client.log_dict(run_id, record.configuration, "configuration.json")
        if record.error:
            self.client.log_text(run_id, record.error, "traceback.txt")
            self.client.log_batch(run_id, tags=[RunTag("error", record.error.strip().splitlines()[-1][:500])])
        if model is not None:
            self._log_model(run_id, model)
        self.client.set_terminated(run_id, "FAILED" if record.status == "failed" else "FINISHED", now)
        self._keep_first(record.run_key)

    def _keep_first(self, run_key: str) -> None:
        """Of runs that two sessions logged at the same time, the first; both sessions decide alike."""
        from mlflow.exceptions import MlflowException

        finished = [run for run in self._search(f"tags.run_key = '{run_key}'") if run.info.status == "FINISHED"]
        for run in sorted(finished, key=lambda run: (run.info.start_time, run.info.run_id))[1:]:
            with suppress(MlflowException):  # the other session deleted it
                self.client.delete_run(run.info.run_id)

    def log_picture(self, parent: str, path: Path, name: str) -> None:
        """A png as an artifact of a sweep's parent run, under `pictures/`."""
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder) / f"{name}.png"
            named.write_bytes(path.read_bytes())
            self.client.log_artifact(parent, str(named), "pictures")

    def digests(self, dataset_keys: Iterable[str]) -> dict[str, str]:
        """The digests with which these draws of datasets were recorded, where one of their runs is finished."""
        found = {
            key: self._search(f"tags.dataset_key = '{key}' and attributes.status = 'FINISHED'", limit=1)
            for key in dataset_keys
        }
        return {key: runs[0].data.tags["dataset_digest"] for key, runs in found.items() if runs}

    def records(self, keys: Iterable[str]) -> pd.DataFrame:
        """The flat rows of these runs, in the order of the keys: identity, then a column a metric."""
        import pandas as pd

        position = {key: i for i, key in enumerate(keys)}
        latest: dict[str, dict[str, Any]] = {}
        for run in self._search("tags.kind = 'run'", limit=None):
            key = run.data.tags.get("run_key")
            if key in position and (key not in latest or run.info.status == "FINISHED"):
                latest[key] = _row(run)
        ordered = sorted(latest, key=position.__getitem__)
        metrics = sorted({name for row in latest.values() for name in row} - set(IDENTITY))
        return pd.DataFrame([latest[key] for key in ordered], columns=[*IDENTITY, *metrics])

    def _search(self, query: str, limit: int | None = 10) -> list[Any]:
        experiments = [e.experiment_id for e in self.client.search_experiments()]
        found, token = [], None
        while True:
            page = self.client.search_runs(experiments, query, max_results=limit or 5000, page_token=token)
            found += page
            token = page.token
            if not token or limit:
                return found

    def _log_input(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        recipe = json.dumps(record.configuration["dataset"], sort_keys=True)
        dataset = Dataset(record.dataset, record.digest[:32], source_type="rrrbench", source=recipe)
        self.client.log_inputs(
            run_id,
            [DatasetInput(dataset, [InputTag("mlflow.data.context", "train"), InputTag("sha256", record.digest)])],
        )

    def _log_model(self, run_id: str, model: Mapping[str, Any]) -> None:
        import torch

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state_dict.pt"
            torch.save(dict(model), path)
            self.client.log_artifact(run_id, str(path))


def _row(run: Any) -> dict[str, Any]:
    parameters, tags = run.data.params, run.data.tags
    return {
        **{name: parameters[name] for name in ("dataset", "network", "mitigation")},
        "strength": float(parameters["strength"]),
        "seed": int(parameters["seed"]),
        **{name: tags.get(name, "") for name in ("run_key", "status", "needs")},
        **run.data.metrics,
    }


def _tag_of_finished_runs(uri: str, tag: str) -> Collection[str]:
    if not uri.startswith("sqlite:///"):
        runs = Tracker(uri, "")._search("tags.kind = 'run' and attributes.status = 'FINISHED'", limit=None)
        return [run.data.tags[tag] for run in runs]
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        return []
    query = """SELECT tags.value FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid
               WHERE tags.key = ? AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'"""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=LOCK_SECONDS) as database:
            return [value for (value,) in database.execute(query, (tag,))]
    except sqlite3.Error as error:
        raise OSError(
            f"{path} cannot be read ({error}): end the program that holds it, or name another store in "
            "MLFLOW_TRACKING_URI"
        ) from error


@cache
def _provenance() -> dict[str, str]:
    """The commit of the running code, and whether files differ from it."""

    def git(*arguments: str) -> str:
        root = Path(__file__).parent
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    try:
        return {"git_commit": git("rev-parse", "HEAD"), "dirty": str(bool(git("status", "--porcelain"))).lower()}
    except OSError:  # no git on this machine
        return {"git_commit": "unknown", "dirty": "unknown"}
