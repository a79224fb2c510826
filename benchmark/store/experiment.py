"""A suite's experiment on a tracking server: a sweep is a parent run, a run its child."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from .database import create_database
from .server import Away, away, client_uri, is_sqlite, patient, shown, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

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
TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # else MLflow shows the experiment as GenAI's
    "mlflow.sharedViewState.runs": json.dumps(VIEW),  # else a link to the view ends at GenAI's page
}
"""The tags of an experiment that trains networks, from its first run on."""


class Experiment:
    """The experiment of a name on a tracking server. MLflow, whose import takes seconds, is imported when it is used.

    Args:
        uri: of the server, as `MLFLOW_TRACKING_URI` has it.
        experiment: the suite's name.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri, self.experiment = uri, experiment

    @property
    def address(self) -> str:
        """The server's address for people to read, without user and password."""
        return shown(self.uri)

    def describe(self, description: str) -> None:
        """Puts a description on the experiment's page, with a link to its runs, the most accurate first.

        Raises:
            Away: the server cannot be used.
        """
        with away(self.uri):
            view = f"#/experiments/{self.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
            tags = {
                "mlflow.note.content": f"{description}\n\n[Runs, the most accurate first]({view})",
                **TAGS,  # again: the experiment may be older than they are
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
                self.set_tag(run.info.run_id, "mlflow.note.content", table)
                if figure is not None:
                    self.client.log_artifact(run.info.run_id, str(figure), "summary")

    def set_tag(self, run_id: str, name: str, value: str) -> None:
        """Sets a run's tag; a run that another driver took away since it was found needs none."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.set_tag(run_id, name, value)
        except MlflowException:
            if self.client.get_run(run_id).info.lifecycle_stage != "deleted":
                raise

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
            return self.client.create_experiment(self.experiment, artifacts.as_uri() if artifacts else None, TAGS)
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


def _file_name(name: str) -> str:
    """A suite's name as a folder's: without separators."""
    return re.sub(r"[^\w\-. ]", "_", name)
