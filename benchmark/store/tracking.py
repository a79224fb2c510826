"""MLflow: the only file that knows it. Imported late everywhere, because importing it takes seconds."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frames import DETAILS, IDENTITY

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from ..suite.stack import Stack
    from .record import Record

LOCAL = Path("results/local")
CURVES = ("right_answer", "right_reason", "accuracy/validation")
"""The metrics that have a value per epoch."""
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
"""What an experiment's page links to, as MLflow's page writes a view that is shared: the runs, in these columns."""
METRICS_A_REQUEST = 900
"""A request has room for 1,000 entities; the parameters are in the first."""
LOCK_SECONDS = 30.0
"""How long another program's lock on a sqlite store is waited for."""


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI`, else a sqlite file below the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(LOCAL / 'mlflow.db').absolute()}"


def finished_keys(uri: str) -> set[str]:
    """The run keys that need no training: those of runs that MLflow has as FINISHED.

    Raises:
        OSError: a sqlite store that cannot be read.
    """
    if not _is_sqlite(uri):
        runs = Tracker(uri, "")._search("tags.kind = 'run' and attributes.status = 'FINISHED'")
        return {run.data.tags["run_key"] for run in runs}
    query = """SELECT tags.value FROM tags JOIN runs ON runs.run_uuid = tags.run_uuid
               WHERE tags.key = 'run_key' AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'"""
    return {key for (key,) in _read(uri, query)}


class Tracker:
    """One suite's place in MLflow: an experiment, with a parent run a sweep and a child run a run."""

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self._digests: dict[str, str] = {}

    @cached_property
    def client(self) -> MlflowClient:
        """A client of an initialised store; the first process to ask creates database and experiment.

        Raises:
            OSError: the database's folder cannot be made.
        """
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        if _is_sqlite(self.uri):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it reports every table it creates
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return MlflowClient(self.uri)

    @cached_property
    def experiment_id(self) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            return found.experiment_id
        local = _is_sqlite(self.uri)
        artifacts = (Path(self.uri.removeprefix("sqlite:///")).parent / "artifacts" / self.experiment).absolute()
        try:
            return self.client.create_experiment(self.experiment, artifacts.as_uri() if local else None)
        except MlflowException:  # another driver made it in this moment
            found = self.client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return found.experiment_id

    def log(self, records: Sequence[Record], models: Mapping[str, Mapping[str, Any]] | None = None) -> str:
        """The runs of a stack and of those that it passed; the id of their sweep's run.

        What is finished already is left alone. A driver that logs the same keys at the same time may add a second run
        of one, until both have ended: each then looks at what there is, and both keep the same.

        Args:
            models: state dicts by run key.

        Raises:
            mlflow.exceptions.MlflowException: the store cannot be written; what was not logged is then not FINISHED.
        """
        from mlflow.exceptions import MlflowException

        parent, attempts = self.parent(records[0]), self._attempts(records)
        for record in records:
            if _finished(attempts[record.run_key]):
                continue
            try:
                self._log_run(record, parent, (models or {}).get(record.run_key))
            except MlflowException:
                if not _finished(self._attempts([record])[record.run_key]):
                    raise  # else a driver that was faster took this attempt away
        return self._settle(records)

    def parent(self, record: Record) -> str:
        """The run of the record's sweep; made if there is none. Of several that drivers made at once, the first."""
        query = f"tags.sweep_key = '{record.sweep_key}' and tags.kind = 'sweep' and attributes.status = 'FINISHED'"
        found = self._search(query)
        if not found:
            self._make_parent(record)
            found = self._search(query)
        first, *others = sorted(found, key=_age)
        for run in others:
            self.client.delete_run(run.info.run_id)
        return first.info.run_id

    def _make_parent(self, record: Record) -> None:
        run = self.client.create_run(
            self.experiment_id,
            run_name=f"{record.dataset} {record.network}",
            tags={"kind": "sweep", "sweep_key": record.sweep_key, **provenance()},
        )
        shared = {name: record.configuration[name] for name in ("protocol", "dataset", "network", "training")}
        self.client.log_dict(run.info.run_id, shared, "configuration.json")
        for name in ("dataset", "network"):
            self.client.log_param(run.info.run_id, name, getattr(record, name))
        self.client.set_terminated(run.info.run_id)

    def _settle(self, records: Sequence[Record]) -> str:
        """Leaves one run a key and one parent, whatever other drivers logged meanwhile; the parent's id."""
        parent = self.parent(records[0])
        for attempts in self._leave_one(lambda: self._attempts(records)).values():
            for run in attempts:
                if run.data.tags["mlflow.parentRunId"] != parent:
                    self.client.set_tag(run.info.run_id, "mlflow.parentRunId", parent)
        return parent

    def _leave_one(self, look: Callable[[], Mapping[str, Sequence[Run]]]) -> Mapping[str, Sequence[Run]]:
        """Of the attempts at each run that `look` finds, takes away all but one; what is left.

        Two drivers may each take the other's away: one saw the other's unfinished, and by the other's clock its own
        ended first. So who takes away looks again, and brings back what it kept if none is left.
        """
        found = look()
        superfluous = {key: _superfluous(attempts) for key, attempts in found.items()}
        if not any(superfluous.values()):
            return found
        for runs in superfluous.values():
            for run in runs:
                self.client.delete_run(run.info.run_id)
        left = look()
        lost = [key for key, attempts in found.items() if _finished(attempts) and not _finished(left[key])]
        for key in lost:
            self.client.restore_run(next(run for run in found[key] if run not in superfluous[key]).info.run_id)
        return self._leave_one(look) if lost else left

    def _attempts(self, records: Sequence[Record]) -> dict[str, list[Run]]:
        """What there is of each record's run. One search for a stack: its cost grows with the table."""
        stacks: dict[str, list[str]] = {}
        for record in records:
            stacks.setdefault(_stack_key(record.sweep_key, record.mitigation), []).append(record.run_key)
        searches = (self._by_key(f"tags.stack_key = '{stack}'", keys) for stack, keys in stacks.items())
        return dict(attempt for found in searches for attempt in found.items())

    def _by_key(self, query: str, keys: Iterable[str]) -> dict[str, list[Run]]:
        found: dict[str, list[Run]] = {key: [] for key in keys}
        for run in self._search(query):
            if run.data.tags["run_key"] in found:
                found[run.data.tags["run_key"]].append(run)
        return found

    def _log_run(self, record: Record, parent: str, model: Mapping[str, Any] | None) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        seconds = record.metrics.get("seconds", 0.0)
        failed = record.status == "failed"
        run = self.client.create_run(
            self.experiment_id,
            start_time=now - int(1000 * seconds),
            run_name=f"{_titled(record.mitigation, record.masks)} {record.strength:.3g} seed {record.seed}",
            tags={"mlflow.parentRunId": parent, "kind": "run", "run_key": record.run_key, "sweep_key": record.sweep_key,
                  "stack_key": _stack_key(record.sweep_key, record.mitigation),
                  "status": record.status, "needs": record.needs, "dataset_key": record.dataset_key,
                  "dataset_digest": record.digest, "protocol_version": record.configuration["protocol"],
                  "flips": json.dumps(record.flips),
                  **({"error": record.error.strip().splitlines()[-1][:500]} if record.error else {}),
                  **provenance()},
        )  # fmt: skip
        run_id = run.info.run_id
        identity = ("dataset", "network", "training", "mitigation", "masks", "strength", "seed", "degenerate")
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
        self.client.log_batch(run_id, values[:METRICS_A_REQUEST], [Param(*item) for item in parameters.items()])
        for start in range(METRICS_A_REQUEST, len(values), METRICS_A_REQUEST):
            self.client.log_batch(run_id, values[start : start + METRICS_A_REQUEST])
        if record.digest:
            self._log_input(run_id, record)
        self.client.log_dict(run_id, record.configuration, "configuration.json")
        if failed:
            self.client.log_text(run_id, record.error, "traceback.txt")
        if model is not None:
            self._log_model(run_id, model)
        self.client.set_terminated(run_id, "FAILED" if failed else "FINISHED", int(time.time() * 1000))

    def describe(self, description: str) -> None:
        """What the experiment's page says on top, with a link to its runs, the most accurate first."""
        view = f"#/experiments/{self.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
        tags = {
            "mlflow.note.content": f"{description}\n\n[Runs, the most accurate first]({view})",
            "mlflow.experimentKind": "custom_model_development",  # else MLflow shows it as GenAI's
            "mlflow.sharedViewState.runs": json.dumps(VIEW),
        }
        for name, value in tags.items():
            self.client.set_experiment_tag(self.experiment_id, name, value)

    def summarise(self, sweep_key: str, table: str, figure: Path) -> None:
        """A Markdown table as the description of a sweep's parent run, and a figure among its artifacts."""
        for run in self._search(f"tags.sweep_key = '{sweep_key}' and tags.kind = 'sweep'"):
            self.client.set_tag(run.info.run_id, "mlflow.note.content", table)
            self.client.log_artifact(run.info.run_id, str(figure), "summary")

    def log_picture(self, parent: str, path: Path, record: Record) -> None:
        """A stack's png as an artifact of its sweep's parent run, under `pictures/`."""
        with tempfile.TemporaryDirectory() as folder:
            named = Path(folder) / picture_name(record.mitigation, record.masks)
            named.write_bytes(path.read_bytes())
            self.client.log_artifact(parent, str(named), "pictures")

    def log_flat(
        self,
        name: str,
        tags: Mapping[str, str],
        parameters: Mapping[str, object],
        metrics: Mapping[str, float],
        figures: Mapping[str, Figure],
    ) -> None:
        """A finished run without parent or curves; a metric that is NaN is left out."""
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        run_id = self.client.create_run(self.experiment_id, run_name=name, tags={**tags, **provenance()}).info.run_id
        values = [Metric(key, value, now, 0) for key, value in metrics.items() if value == value]
        self.client.log_batch(run_id, values, [Param(key, str(value)) for key, value in parameters.items()])
        for path, figure in figures.items():
            self.client.log_figure(run_id, figure, path, save_kwargs={"dpi": 110})
        self.client.set_terminated(run_id)

    def flat(self, kind: str) -> Iterator[tuple[Mapping[str, str], Mapping[str, str], Mapping[str, float]]]:
        """Tags, parameters and metrics of this experiment's finished runs of a kind, the latest first."""
        for run in self._search(f"tags.kind = '{kind}' and attributes.status = 'FINISHED'"):
            if run.info.experiment_id == self.experiment_id:
                yield run.data.tags, run.data.params, run.data.metrics

    def settle_flat(self, kind: str, keys: Iterable[str]) -> None:
        """Leaves one run a key: what a kill left unfinished goes, and what another driver logged too."""
        wanted = list(keys)
        self._leave_one(lambda: self._by_key(f"tags.kind = '{kind}'", wanted))

    def finished(self, stack: Stack) -> set[str]:
        """The keys of a stack's finished runs; what another driver has finished since the suite began is among them."""
        stack_key = _stack_key(stack.sweep_key, stack.label)
        runs = self._search(f"tags.stack_key = '{stack_key}' and attributes.status = 'FINISHED'")
        return {run.data.tags["run_key"] for run in runs}

    def digests(self, dataset_keys: Iterable[str]) -> dict[str, str]:
        """The digests with which these draws of datasets were recorded, where one of their runs is finished."""
        for key in (keys := set(dataset_keys)) - self._digests.keys():
            if runs := self._search(f"tags.dataset_key = '{key}' and attributes.status = 'FINISHED'", limit=1):
                self._digests[key] = runs[0].data.tags["dataset_digest"]
        return {key: self._digests[key] for key in keys & self._digests.keys()}

    def records(self, keys: Iterable[str]) -> pd.DataFrame:
        """The flat rows of these runs, in the order of the keys: identity, then a column a metric."""
        import pandas as pd

        position = {key: i for i, key in enumerate(keys)}
        latest: dict[str, dict[str, Any]] = {}
        for finished, row in (_rows_of_sqlite if _is_sqlite(self.uri) else _rows_of_server)(self.uri):
            if row["run_key"] in position and (finished or row["run_key"] not in latest):
                latest[row["run_key"]] = row
        ordered = sorted(latest, key=position.__getitem__)
        metrics = sorted({name for row in latest.values() for name in row} - set(IDENTITY))
        return pd.DataFrame([latest[key] for key in ordered], columns=[*IDENTITY, *metrics])

    def details(self, keys: Iterable[str]) -> pd.DataFrame:
        """What a run's page shows beside its record, indexed by run key: `DETAILS`, and curves as JSON, to six digits.

        Tags that a run was recorded without are empty.
        """
        import pandas as pd

        wanted = set(keys)
        found = (_details_of_sqlite if _is_sqlite(self.uri) else _details_of_server)(self.uri)
        rows = {
            tags["run_key"]: {name: tags.get(name, "") for name in DETAILS}
            | {
                "curves": json.dumps(
                    {name: [float(f"{value:.6g}") for value in curve] for name, curve in curves.items()}
                )
            }
            for tags, curves in found
            if tags["run_key"] in wanted
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=[*DETAILS, "curves"])

    def pictures(self, sweep_keys: Iterable[str], folder: Path) -> None:
        """Copies the pictures of these sweeps to `folder/SWEEP_KEY/TITLE.png`; a sweep may have none."""
        for sweep_key in set(sweep_keys):
            for run in self._search(f"tags.sweep_key = '{sweep_key}' and tags.kind = 'sweep'"):
                for file in self.client.list_artifacts(run.info.run_id, "pictures"):
                    (folder / sweep_key).mkdir(parents=True, exist_ok=True)
                    with tempfile.TemporaryDirectory() as download:
                        local = self.client.download_artifacts(run.info.run_id, file.path, download)
                        shutil.copy(local, folder / sweep_key)

    def _search(self, query: str, limit: int | None = None) -> list[Run]:
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

    def _log_model(self, run_id: str, model: Mapping[str, Any]) -> None:
        import torch

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "state_dict.pt"
            torch.save(dict(model), path)
            self.client.log_artifact(run_id, str(path))


def _stack_key(sweep_key: str, mitigation: str) -> str:
    return hashlib.sha256(f"{sweep_key} {mitigation}".encode()).hexdigest()


def _titled(mitigation: str, masks: str) -> str:
    return mitigation if masks == "true" else f"{mitigation}, masks {masks}"


def picture_name(mitigation: str, masks: str) -> str:
    """The file name of a stack's picture."""
    return f"{_titled(mitigation, masks)}.png".replace(":", " ")


def _age(run: Run) -> tuple[int, str]:
    return run.info.end_time, run.info.run_id


def _finished(attempts: Iterable[Run]) -> bool:
    return any(run.info.status == "FINISHED" for run in attempts)


def _superfluous(attempts: Sequence[Run]) -> list[Run]:
    """All attempts at a run but the first that is finished; without one, all that failed but the latest.

    Whoever finishes a run last sees the others, and the first is nobody's to delete: so one is left, without a lock.
    """
    finished = sorted((run for run in attempts if run.info.status == "FINISHED"), key=_age)
    if finished:
        return [run for run in attempts if run is not finished[0]]
    return sorted((run for run in attempts if run.info.status == "FAILED"), key=_age)[:-1]


def _rows_of_server(uri: str) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Of every run that has ended: whether it is finished, and its flat row."""
    for run in Tracker(uri, "")._search("tags.kind = 'run' and attributes.end_time > 0"):
        yield run.info.status == "FINISHED", _row(run.data.params, run.data.tags, run.data.metrics)


def _rows_of_sqlite(uri: str) -> Iterator[tuple[bool, dict[str, Any]]]:
    """As `_rows_of_server`, many times faster: MLflow makes an object of every number."""
    ended = list(_read(uri, "SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active' AND end_time > 0"))
    of_run: dict[str, dict[str, dict[str, Any]]] = {}
    for table in ("params", "tags", "latest_metrics"):
        contents = of_run[table] = defaultdict(dict)
        for run_id, name, value in _read(uri, f"SELECT run_uuid, key, value FROM {table}"):
            contents[run_id][name] = value
    for run_id, status in ended:
        if of_run["tags"][run_id].get("kind") == "run":
            yield status == "FINISHED", _row(*(of_run[table][run_id] for table in of_run))


def _details_of_server(uri: str) -> Iterator[tuple[Mapping[str, str], dict[str, list[float]]]]:
    """The tags and curves of every finished run."""
    tracker = Tracker(uri, "")
    for run in tracker._search("tags.kind = 'run' and attributes.status = 'FINISHED'"):
        curves = {name: tracker.client.get_metric_history(run.info.run_id, name) for name in CURVES}
        yield run.data.tags, {name: [point.value for point in curve] for name, curve in curves.items() if curve}


def _details_of_sqlite(uri: str) -> Iterator[tuple[Mapping[str, str], dict[str, list[float]]]]:
    finished = "(SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND status = 'FINISHED')"
    tags: dict[str, dict[str, str]] = defaultdict(dict)
    for run_id, name, value in _read(uri, f"SELECT run_uuid, key, value FROM tags WHERE run_uuid IN {finished}"):
        tags[run_id][name] = value
    curves: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    query = f"SELECT run_uuid, key, value FROM metrics WHERE key IN {CURVES} AND run_uuid IN {finished} ORDER BY step"
    for run_id, name, value in _read(uri, query):
        curves[run_id][name].append(value)
    yield from ((own, curves[run_id]) for run_id, own in tags.items() if own.get("kind") == "run")


def _row(parameters: Mapping[str, str], tags: Mapping[str, str], metrics: Mapping[str, float]) -> dict[str, Any]:
    return {
        **{name: parameters[name] for name in ("dataset", "network", "mitigation")},
        "masks": parameters.get("masks", "true"),
        "training": parameters.get("training", ""),
        "protocol": tags.get("protocol_version", ""),
        "strength": float(parameters["strength"]),
        "seed": int(parameters["seed"]),
        **{name: tags.get(name, "") for name in ("run_key", "sweep_key", "status", "needs", "error", "git_commit")},
        **metrics,
    }


def _is_sqlite(uri: str) -> bool:
    return uri.startswith("sqlite:///")


def _read(uri: str, query: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a sqlite store, past MLflow, whose import takes longer than most questions."""
    path = Path(uri.removeprefix("sqlite:///"))
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as database:
            yield from database.execute(query)
    except sqlite3.Error as error:
        raise OSError(
            f"{path} cannot be read ({error}): end the program that holds it, or name another store in "
            "MLFLOW_TRACKING_URI"
        ) from error


@cache
def provenance() -> dict[str, str]:
    """The commit of the running code, whether files differ from it, and the versions it runs with."""

    def git(*arguments: str) -> str:
        root = Path(__file__).parent
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else "unknown"

    try:
        code = {"git_commit": git("rev-parse", "HEAD"), "dirty": str(bool(git("status", "--porcelain"))).lower()}
    except OSError:  # no git on this machine
        code = {"git_commit": "unknown", "dirty": "unknown"}
    libraries = ", ".join(f"{name} {version(name)}" for name in ("rrrbench", "torch", "numpy", "mlflow"))
    return {**code, "versions": f"Python {platform.python_version()}, {libraries}, {platform.platform(terse=True)}"}
