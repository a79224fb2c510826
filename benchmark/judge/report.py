"""What an evaluation found: numbers, intervals, warnings, flipped twins, a picture, and a record of it all."""

from __future__ import annotations

import html
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tabulate import tabulate

from ..figures.evaluation import Pictured, evaluation_figure
from ..metrics.base import metric
from ..metrics.evaluation import FLIPS
from ..ranking.rendering import wrapped
from ..store.home import home
from ..store.mirror import Mirror
from ..store.record import Record
from ..store.records import RecordStore
from ..store.server import tracking_uri
from .identity import Identity
from .twins import Flip

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPERIMENT = "evaluated"
"""MLflow's experiment of networks that were trained elsewhere."""
SHOWN = (
    *("accuracy/", "worst_group_accuracy/random", "worst_group_accuracy/observed", "flip_rate", "follow_rate"),
    *("probability_shift", "graded_reliance", "mass_abs_over_chance/"),
)
"""Beginnings of the ids in the printed table; `metrics` has all."""


@dataclass(frozen=True)
class Report:
    """The evaluation of a network that somebody trained.

    Attributes:
        metrics: by metric id, as in a record.
        counted: by metric id, how many inputs or twins a share is of.
        intervals: by metric id, the 95 % interval (Wilson) of a share, over the inputs that are counted.
        warnings: reasons to doubt a number.
        flips: the test inputs whose prediction changes with the shortcut.
        predictions: a row a test input that was judged; see `twins.predictions_of`.
        pictured: the inputs, twins and attributions of the figure.
    """

    identity: Identity
    metrics: Mapping[str, float]
    counted: Mapping[str, int]
    intervals: Mapping[str, tuple[float, float]]
    warnings: tuple[str, ...]
    flips: list[Flip]
    predictions: pd.DataFrame
    pictured: Pictured

    @property
    def record(self) -> Record:
        """The evaluation as the record of a run that was not trained here."""
        return self.identity.record(dict(self.metrics), [tuple(flip) for flip in self.flips[:FLIPS]])

    def figure(self) -> Figure:
        """Inputs, their twins with both predictions, and where the network looks."""
        return evaluation_figure(self.pictured, f"{self.identity.name} on {self.identity.dataset_id}")

    def log(self, folder: Path | None = None) -> Record:
        """Keeps the record and the picture in a folder of results, where leaderboards find it, and logs to MLflow.

        Args:
            folder: the folder of results that `rrrbench run` would use, if not given.

        Raises:
            ValueError: another network was kept under this name for this draw of the dataset, or other numbers.
            OSError: the folder cannot be written.
        """
        folder = folder or home()
        store, record = RecordStore(folder), self.record
        store.require_writable()
        store.put_evaluated(record)
        png = BytesIO()
        self.figure().savefig(png, format="png", dpi=110)
        store.put_picture(record, png.getvalue())
        if undelivered := Mirror(tracking_uri(folder), EXPERIMENT, store).deliver([record]):
            warnings.warn(f"not in MLflow ({undelivered}), but kept in {folder}: log() again delivers it", stacklevel=2)
        return record

    def __str__(self) -> str:
        head = f"{self.identity.name} on {self.identity.dataset_id}, seed {self.identity.seed}"
        table = tabulate(
            [(*row[:-1], wrapped(row[-1], 36)) for row in self._rows()],
            self._HEADER,
            "simple",
            disable_numparse=True,
            colalign=self._ALIGNED,
        )
        return "\n".join([head, "", table, *(f"\nwarning: {warning}" for warning in self.warnings)])

    def _repr_html_(self) -> str:
        """Table and figure, as a notebook shows them."""
        svg = BytesIO()
        self.figure().savefig(svg, format="svg")
        table = tabulate(self._rows(), self._HEADER, "html", disable_numparse=True)
        notes = "".join(f"<p><b>warning:</b> {html.escape(warning)}</p>" for warning in self.warnings)
        picture = svg.getvalue().decode()
        return f"<h4>{html.escape(str(self).splitlines()[0])}</h4>{table}{notes}{picture[picture.index('<svg') :]}"

    _HEADER = ("metric", "value", "95 %", "of", "better", "chance")
    _ALIGNED = ("left", "right", "left", "right", "left", "left")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                name,
                f"{self.metrics[name]:.3f}",
                "[{:.3f}, {:.3f}]".format(*self.intervals[name]) if name in self.intervals else "",
                str(self.counted.get(name, "")),
                metric(name).better,
                metric(name).chance,
            )
            for name in sorted(self.metrics, key=_place)
            if name.startswith(SHOWN)
        ]


def _place(name: str) -> tuple[int, str]:
    return next((i for i, start in enumerate(SHOWN) if name.startswith(start)), len(SHOWN)), name
