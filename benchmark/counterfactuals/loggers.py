"""Where the runs of `Benchmark` are written: to a folder, to MLflow, or by a class of your own."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from matplotlib.figure import Figure

from ..figures.strip import Labelled, counterfactual_strip
from ..store.tracking import LOCAL, Tracker, tracking_uri
from ..suite.protocol import PROTOCOL_VERSION
from .evaluation import Shown

RECIPE = 1
"""Of glyphs, classifier and metrics: part of every run key, so a change of it is another number."""
COLUMNS = 4
ROWS = 4
TITLE = ("explainer", "corr_level", "n_corr", "seed")


def run_key(attributes: Mapping[str, object]) -> str:
    """The SHA-256 of a run's configuration, known before anything is drawn or trained."""
    resolved = {"protocol": PROTOCOL_VERSION, "counterfactuals": RECIPE, **attributes}
    return hashlib.sha256(json.dumps(resolved, sort_keys=True, default=str).encode()).hexdigest()


class BasicLogger:
    """Writes results.csv and counterfactuals.png to a folder. Subclass it to write elsewhere.

    Args:
        attributes: the run's configuration.
        path: the folder; made when there is something to write.
        n_batches: how many batches are kept for the picture.

    Attributes:
        metrics: by name, one value a batch.
        results: by name, over all explanations together; when `log` is called.
        notes: what else is known of the run by then: the data's digest, the number of inputs.
    """

    def __init__(self, attributes: Mapping[str, object], path: str | Path, n_batches: int = 5) -> None:
        self.attributes = dict(attributes)
        self.path = Path(path)
        self.n_batches = n_batches
        self.metrics: dict[str, list[float]] = defaultdict(list)
        self.results: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self._shown: list[Shown] = []

    def accumulate(self, data: Mapping[str, float], images: Shown) -> None:
        """Takes a batch's metrics and images."""
        for name, value in data.items():
            self.metrics[name].append(value)
        if len(self._shown) < self.n_batches:
            self._shown.append(images)

    def log(self) -> None:
        """Writes; called once, after the last batch."""
        import pandas as pd

        self.path.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([{**self.attributes, **self.notes, **self.results}]).to_csv(self.path / "results.csv", index=False)
        self.create_cf_figure().savefig(self.path / "counterfactuals.png", dpi=130)

    def prepare_images_to_log(self) -> None:
        """Leaves the picture in `_figure`."""
        self._figure = self.create_cf_figure()

    def create_cf_figure(self) -> Figure:
        """The first inputs as they come, with their counterfactuals: hits first, then other flips."""
        rows = [row for shown in self._shown for row in _rows(shown)][:ROWS]
        title = " ".join(f"{name} {value}" for name, value in self.attributes.items() if name in TITLE)
        return counterfactual_strip(
            rows, f"{title}\nink: grey stayed, red put, blue taken away; green frame: shortcut hit", COLUMNS
        )


class MlflowLogger(BasicLogger):
    """One MLflow run in the experiment `counterfactuals`: configuration, metrics, and the picture."""

    experiment: ClassVar[str] = "counterfactuals"

    @cached_property
    def tracker(self) -> Tracker:
        """Of `MLFLOW_TRACKING_URI`, else of the local database."""
        return Tracker(tracking_uri(), self.experiment)

    def log(self) -> None:
        tags = {"kind": "counterfactual", "run_key": run_key(self.attributes), **self.notes}
        figures = {"counterfactuals.png": self.create_cf_figure()}
        self.tracker.log_flat(str(self.attributes["explainer"]), tags, self.attributes, self.results, figures)


def default_path(attributes: Mapping[str, object]) -> Path:
    """Below the working directory, by explainer and run key."""
    return LOCAL / "counterfactuals" / f"{attributes['explainer']}-{run_key(attributes)[:8]}"


def _rows(shown: Shown) -> list[tuple[Labelled, list[Labelled]]]:
    """Each input with its counterfactuals, none of them twice."""
    rows = []
    for i, image in enumerate(shown.images):
        before, answers = int(shown.predicted[i]), shown.predictions[i].tolist()
        order = (2 * shown.hits[i].int() + (shown.predictions[i] != before).int()).argsort(descending=True, stable=True)
        changed: list[Labelled] = []
        for j in order.tolist():
            below = "\n".join([f"class {before} → {answers[j]}", *shown.changes[i][j]])
            other = Labelled(shown.counterfactuals[i, j], below, shown.hits[i, j])
            if not any(other.image.equal(earlier.image) for earlier in changed):
                changed.append(other)
        rows.append((Labelled(image, f"class {before}"), changed[:COLUMNS]))
    return rows
