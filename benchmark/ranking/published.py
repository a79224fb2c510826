"""Published numbers: the rows of `results/published/PAPER.csv`, validated, and the suite that repeats the paper.

A published row names the runs that measure it: a sweep's `label`, a mitigation of that sweep, a strength in the units
of that mitigation's row in the suite, the masks given, and a metric. rrrbench does not run a row that names no sweep.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ...datasets.registry import UnknownName, nearest
from ...datasets.sources import MissingData
from ..metrics.base import metric
from ..suite.loading import load_suite
from ..suite.sweep import Suite
from .selection import RULES
from .verdict import Provenance

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
Empty = BeforeValidator(lambda text: None if text == "" else text)
UNMEASURED = ("group_accuracy", "worst_group_accuracy", "auc", "f1")
"""Metrics, from 0 to 1, of data that rrrbench does not have."""


def _known(id: str) -> str:
    """Raises UnknownName for a metric that is neither rrrbench's nor in `UNMEASURED`."""
    if id not in UNMEASURED:
        metric(id)
    return id


class Published(BaseModel):
    """One published number.

    Attributes:
        source: the table or file that has it.
        dataset, network, method, condition: in the paper's words.
        metric: rrrbench's id, or an id in `UNMEASURED`; `value` and `spread` are in its unit.
        value: None for a curve that was published without its numbers (`figure`).
        spread: standard deviation over the seeds.
        seeds: the number of seeds whose mean the value is; None if the paper does not say, and then counted as one.
        sweep: the label of the sweep that measures it; empty for a number that rrrbench does not measure.
        mitigation: its id in that sweep.
        strength: as that sweep gives it, or the rule of `selection` that chooses it; None for a mitigation without
            the axis.
        masks: the masks that the mitigation was given, in a record's words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    paper: str
    source: str
    dataset: str
    network: str
    method: str
    condition: str
    metric: Annotated[str, AfterValidator(_known)]
    value: Annotated[float | None, Empty]
    spread: Annotated[float | None, Empty]
    seeds: Annotated[int | None, Empty]
    provenance: Provenance
    note: str
    sweep: str
    mitigation: str
    strength: Annotated[float | str | None, Field(union_mode="left_to_right"), Empty]
    masks: str

    @model_validator(mode="after")
    def _possible(self) -> Published:
        if (self.value is None) != (self.provenance == "figure"):
            raise ValueError("a value is left out where there is only a figure, and nowhere else")
        low, high = (0, 1) if self.metric in UNMEASURED else (metric(self.metric).low, metric(self.metric).high)
        if self.value is not None and not low <= self.value <= high:
            raise ValueError(
                f"value = {self.value:g} of {self.metric} is outside [{low:g}, {high:g}]: is it in percent?"
            )
        if isinstance(self.strength, str) and self.strength not in RULES:
            raise ValueError(f"strength = {self.strength!r} is neither a number nor one of {', '.join(RULES)}")
        return self


def papers() -> list[str]:
    """The papers whose numbers can be reproduced."""
    return sorted(path.stem for path in PUBLISHED.glob("*.csv"))


def published_by(paper: str) -> list[Published]:
    """The published numbers of a paper.

    Raises:
        UnknownName: there is no such paper.
        ValueError: a row is wrong; the message has its line and the reason.
    """
    path = PUBLISHED / f"{paper}.csv"
    if not path.is_file():
        raise UnknownName(f"no published numbers of {paper!r} in {PUBLISHED}; {nearest(paper, papers())}")
    rows = []
    for line, row in enumerate(pd.read_csv(path, dtype=str, keep_default_na=False).to_dict("records"), start=2):
        try:
            rows.append(Published.model_validate(row))
        except ValidationError as error:
            raise ValueError(f"{path}, line {line}: {error}") from error
    return rows


def suite_of(paper: str, most_seeds: int | None = None) -> Suite:
    """The suite of a paper's protocol, with at most `most_seeds` seeds of each sweep."""
    suite = load_suite(f"reproduce/{paper}")
    return suite if most_seeds is None else suite.with_seeds(most_seeds)


def available(suite: Suite) -> tuple[Suite | None, dict[str, str]]:
    """Parts a suite by whether its data are on this machine.

    Returns:
        The suite with the sweeps whose data are there, None if no sweep is left; and by label, why each of the other
        sweeps cannot be run.
    """
    absent: dict[str, str] = {}
    for sweep in suite.sweeps:
        try:
            sweep.dataset.require()
        except MissingData as error:
            absent[sweep.label] = str(error)
    there = tuple(sweep for sweep in suite.sweeps if sweep.label not in absent)
    return (suite.model_copy(update={"sweeps": there}) if there else None), absent
