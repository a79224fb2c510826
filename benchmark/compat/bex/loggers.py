"""Where the runs of `Benchmark` are written: to a folder, to MLflow, or by a class of your own."""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from matplotlib.figure import Figure

from ...counterfactuals.evaluation import Shown
from ...counterfactuals.picture import picture
from ...ranking.inert import csv
from ...store.home import home
from ...store.mirror import Mirror
from ...store.records import RecordStore
from ...store.server import away, tracking_uri
from ...suite.protocol import PROTOCOL_VERSION
from .names import with_bex_names

RECIPE = 1
"""Of glyphs, classifier and metrics: part of every run key, so a change of it is another number."""
LONGEST = 100
"""Characters of an explainer's name in a folder's name."""
TITLE = ("explainer", "corr_level", "n_corr", "seed")


def run_key(attributes: Mapping[str, object]) -> str:
    """The SHA-256 of a run's configuration, known before anything is drawn or trained."""
    resolved = {"protocol": PROTOCOL_VERSION, "counterfactuals": RECIPE, **attributes}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, default=str).encode()).hexdigest()


class BasicLogger:
    """Writes results.csv and counterfactuals.png to a folder. Subclass it to write elsewhere.

    Args:
        attributes: the run's configuration.
        path: the folder, which is made; None for a folder in the home of results, by explainer and run key.
        n_batches: how many batches are kept for the picture.

    Attributes:
        metrics: by bex's name and by ours, a value for each batch.
        results: by our name, over all explanations together; when `log` is called.
        notes: what else is known of the run by then: the data's digest, the number of inputs.
    """

    def __init__(self, attributes: Mapping[str, object], path: str | Path | None, n_batches: int = 5) -> None:
        self.attributes = dict(attributes)
        self.path = default_path(attributes) if path is None else Path(path)
        self.n_batches = n_batches
        self._make_folder()
        self.metrics: dict[str, list[float]] = defaultdict(list)
        self.results: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self._shown: list[Shown] = []

    def _make_folder(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise ValueError(f"output_path is {str(self.path)!r}, where a file is in the way: name a folder") from error

    def accumulate(self, data: Mapping[str, float], images: Shown) -> None:
        """Takes a batch's metrics and images."""
        for name, value in data.items():
            self.metrics[name].append(value)
        if len(self._shown) < self.n_batches:
            self._shown.append(images)

    def log(self) -> None:
        """Writes; called once, after the last batch."""
        import pandas as pd

        results = with_bex_names(self.results) if self.results else {}
        row = pd.DataFrame([{**self.attributes, **self.notes, **results}])
        (self.path / "results.csv").write_text(csv(row))
        self.create_cf_figure().savefig(self.path / "counterfactuals.png", dpi=130)

    def prepare_images_to_log(self) -> None:
        """Leaves the picture in `_figure`."""
        self._figure = self.create_cf_figure()

    def create_cf_figure(self) -> Figure:
        """The first inputs as they come, with their counterfactuals: hits first, then other flips."""
        title = " ".join(f"{name} {value}" for name, value in self.attributes.items() if name in TITLE)
        return picture(self._shown, title)


class MlflowLogger(BasicLogger):
    """An MLflow run in the experiment `bex`: configuration, metrics, and the picture; and a named folder."""

    experiment: ClassVar[str] = "bex"

    def __init__(self, attributes: Mapping[str, object], path: str | Path | None, n_batches: int = 5) -> None:
        self._named = path is not None
        super().__init__(attributes, path, n_batches)

    def _make_folder(self) -> None:
        if self._named:
            super()._make_folder()

    def log(self) -> None:
        if self._named:
            super().log()
        from mlflow.entities import Metric, Param

        folder, now = home(), int(time.time() * 1000)
        uri = tracking_uri(folder)
        with away(uri):  # whose error has no password
            mirror = Mirror(uri, self.experiment, RecordStore(folder))
            client, name = mirror.client, str(self.attributes["explainer"])
            tags = {"kind": "counterfactual", "run_key": run_key(self.attributes), **self.notes}
            run = client.create_run(mirror.experiment_id, run_name=name, tags=tags).info.run_id
            values = [Metric(key, value, now, 0) for key, value in self.results.items() if not math.isnan(value)]
            client.log_batch(run, values, [Param(key, str(value)) for key, value in self.attributes.items()])
            client.log_figure(run, self.create_cf_figure(), "counterfactuals.png", save_kwargs={"dpi": 110})
            client.set_terminated(run)


def default_path(attributes: Mapping[str, object]) -> Path:
    """A folder in the home of results, by explainer and run key; a parameter's slashes and dots lead nowhere else."""
    name = re.sub(r"[^\w=,\[\]-]", "_", str(attributes["explainer"]))[:LONGEST]
    return home() / "counterfactuals" / f"{name}-{run_key(attributes)[:8]}"
