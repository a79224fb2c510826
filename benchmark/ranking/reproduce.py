"""Published numbers beside ours: `results/published/PAPER.csv` joined to the runs of the suite `reproduce/PAPER`.

A published row names what measures it: a sweep's `label`, a mitigation of it, a strength in the units of that row of
the suite, the masks given, and a metric. A row that names no sweep is one that rrrbench does not run.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from tabulate import tabulate

from ...datasets.registry import UnknownName, nearest
from ...datasets.sources import MissingData
from ..metrics.base import metric
from ..store.provenance import provenance
from ..suite.loading import load_suite
from ..suite.stack import MitigationStack
from ..suite.sweep import Suite
from .selection import RULES, NoEligibleStrength, select
from .verdict import DIGITS, REPRODUCED, Provenance, Verdict, point, prediction_interval, verdict

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
COLUMNS = (
    *("dataset", "network", "method", "condition", "metric", "published", "spread", "seeds", "measured", "sd", "n"),
    *("delta", "low", "high", "verdict", "minutes", "provenance", "source", "note"),
)
"""Of a joined table. `sd` and `minutes` are of the n measured runs, `delta` is in points, and `low` and `high` end the
prediction interval."""

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
        seeds: how many the value is the mean of; None if that is not said, and then counted as one.
        sweep: the label of the sweep that measures it; empty for a number that rrrbench does not measure.
        mitigation: its id in that sweep.
        strength: as that sweep gives it, or the rule of `selection` that chooses it; None for a mitigation without
            the axis.
        masks: those that the mitigation was given, as a record has them.
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
    """Whose numbers can be reproduced."""
    return sorted(path.stem for path in PUBLISHED.glob("*.csv"))


def published(paper: str) -> list[Published]:
    """The numbers of a paper.

    Raises:
        UnknownName: there is no such paper.
        ValueError: a row that is wrong; the message says which and how.
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
    """The paper's protocol, with at most so many seeds of each sweep."""
    suite = load_suite(f"reproduce/{paper}")
    return suite if most_seeds is None else suite.with_seeds(most_seeds)


def available(suite: Suite) -> tuple[Suite | None, dict[str, str]]:
    """The sweeps whose data are there, None if there are none; and why each other one, by label, cannot be run."""
    absent: dict[str, str] = {}
    for sweep in suite.sweeps:
        try:
            sweep.dataset.require()
        except MissingData as error:
            absent[sweep.label] = str(error)
    there = tuple(sweep for sweep in suite.sweeps if sweep.label not in absent)
    return (suite.model_copy(update={"sweeps": there}) if there else None), absent


def stack_of(row: Published, suite: Suite) -> MitigationStack | None:
    """The runs that measure a published number: at its strength, or at those from which its rule chooses one.

    Returns:
        None for a row that names no sweep.

    Raises:
        ValueError: the suite has no such runs.
    """
    if not row.sweep:
        return None
    for sweep in suite.sweeps:
        for entry in sweep.mitigations:
            if (sweep.label, entry.mitigation.id) != (row.sweep, row.mitigation):
                continue
            one = None
            if not isinstance(row.strength, str):
                one = entry.in_our_unit(row.strength or 0.0, sweep.training.batch_size)
            for stack in sweep.stacks(suite.seeds):
                if (stack.label, stack.dataset.annotation) != (row.mitigation, row.masks):
                    continue
                if one is None:
                    return stack
                if one in stack.strengths:
                    return replace(stack, strengths=(one,))
    raise ValueError(
        f"{row.paper}: suite {suite.name!r} has no run of {row.mitigation} at {row.strength} with masks {row.masks} in "
        f"a sweep labelled {row.sweep!r}: correct the row, or add it to the suite"
    )


def join(rows: Sequence[Published], suite: Suite, records: pd.DataFrame) -> pd.DataFrame:
    """Published beside measured, in the order of the rows; see `COLUMNS`.

    Args:
        records: the flat rows of the suite's runs, as far as there are any.
    """
    records = records[records["status"].isin(["finished", "diverged"])].set_index("run_key")
    return pd.DataFrame([_joined(row, suite, records) for row in rows], columns=COLUMNS)


def _joined(row: Published, suite: Suite, records: pd.DataFrame) -> dict[str, Any]:
    stack = stack_of(row, suite)
    runs = records.loc[[key for key in (stack.places() if stack else ()) if key in records.index]]
    if stack and isinstance(row.strength, str):
        runs = _chosen(row.strength, runs) if set(runs["strength"]) == set(stack.strengths) else runs.iloc[:0]
    values = _values(row.metric, runs)
    joined: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS if name in Published.model_fields}
    joined |= {"published": row.value, "n": len(values), "verdict": "not run"}
    if not len(values):
        return joined
    unit, low_high = point(metric(row.metric)), prediction_interval(values, row.seeds or 1)
    return joined | {
        "measured": values.mean(),
        "sd": values.std(ddof=1) if len(values) > 1 else None,
        "delta": None if row.value is None else (values.mean() - row.value) / unit,
        "low": low_high[0] if len(values) > 1 else None,
        "high": low_high[1] if len(values) > 1 else None,
        "verdict": verdict(row.value, values, published_seeds=row.seeds or 1, provenance=row.provenance, point=unit),
        "minutes": runs.reindex(columns=["seconds"]).sum().item() / 60,
    }


def _values(id: str, runs: pd.DataFrame) -> Float[np.ndarray, "runs"]:
    """What each run has; `class_accuracy/conflict/worst` is of the class whose mean over the runs is lowest."""
    of_a_class = f"^{id.removesuffix('worst')}"
    columns = runs.filter(regex=of_a_class) if id.endswith("/worst") else runs.reindex(columns=[id])
    columns = columns.dropna(axis="columns", how="all")
    return columns[columns.mean().idxmin()].dropna().to_numpy(float) if columns.size else np.empty(0)


def _chosen(rule: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Those at the strength that the rule chooses; none if it can choose none."""
    try:
        return runs[runs["strength"] == select(rule, runs)]
    except NoEligibleStrength:
        return runs.iloc[:0]


def left(suite: Suite, records: pd.DataFrame) -> list[str]:
    """The labels of the sweeps that have runs without a record, each once."""
    recorded = set(records["run_key"])
    labels = (
        sweep.label
        for sweep in suite.sweeps
        if any(key not in recorded for stack in sweep.stacks(suite.seeds) for key in stack.places())
    )
    return list(dict.fromkeys(labels))


def render(table: pd.DataFrame, format: str = "table", dim: Callable[[str], str] = str) -> str:
    """A joined table, a block a source, as text for a terminal or as Markdown with the notes.

    Args:
        dim: what recalled numbers pass through.
    """
    titles = ["dataset", "method", "condition", "metric", "published (runs)", "measured ± sd (seeds)", "points",
              "95 % prediction", "verdict", "minutes", "provenance", "note"]  # fmt: skip
    shown, form = (len(titles), "pipe") if format == "md" else (len(titles) - 1, "simple")
    blocks = []
    for source, rows in table.groupby("source", sort=False):
        lines = []
        for row in rows.to_dict("records"):
            look = dim if row["provenance"] == "recalled" else str
            lines.append([look(cell) if cell else cell for cell in _cells(row)[:shown]])
        heading = f"### {source}\n" if format == "md" else str(source)
        blocks.append(f"{heading}\n{tabulate(lines, titles[:shown], form, disable_numparse=True)}")
    return "\n\n".join(blocks)


def _cells(row: Mapping[Any, Any]) -> list[str]:
    known = {name for name, value in row.items() if not pd.isna(value)}
    spread, sd = (f" ± {_number(row[name])}" if name in known else "" for name in ("spread", "sd"))
    return [
        *(row[name] for name in ("dataset", "method", "condition", "metric")),
        (f"{_number(row['published'])}{spread}" if "published" in known else "")
        + (f" ({row['seeds']:.0f})" if "seeds" in known else ""),
        f"{_number(row['measured'])}{sd} ({row['n']})" if "measured" in known else "",
        f"{row['delta']:+.1f}" if "delta" in known else "",
        f"[{_number(row['low'])}, {_number(row['high'])}]" if "low" in known else "",
        row["verdict"],
        f"{row['minutes']:.1f}" if "minutes" in known else "",
        row["provenance"],
        row["note"],
    ]


def summary(table: pd.DataFrame) -> str:
    """How many rows got which verdict, in a line; and how many are reproduced only because their interval is wide."""
    counts = table["verdict"].value_counts()
    said = {name: f"{counts[name]} {name}" for name in get_args(Verdict) if name in counts}
    apart = table["delta"].astype(float).abs().round(DIGITS) > REPRODUCED
    if by_interval := int((apart & (table["verdict"] == "reproduced")).sum()):
        said["reproduced"] += f" ({by_interval} of them by the interval alone)"
    return ", ".join(said.values())


def write(paper: str, table: pd.DataFrame, suite: Suite, records: pd.DataFrame, folder: Path) -> Path:
    """Writes the joined table as PAPER.csv and the page as PAPER.md; as PAPER-part.* where a table of more runs stands.

    Returns:
        The path of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{paper}.csv"
    if path.exists() and pd.read_csv(path)["n"].sum() > table["n"].sum():
        path = folder / f"{paper}-part.csv"
    text = page(paper, table, suite, records)  # names the commit, so before a file of it changes
    table.to_csv(path, index=False)
    path.with_suffix(".md").write_text(text)
    return path


def page(paper: str, table: pd.DataFrame, suite: Suite, records: pd.DataFrame) -> str:
    """The Markdown page: what was run, by what, and the table.

    Args:
        records: the flat rows of the suite's runs.
    """
    made = provenance()
    commit = made["git_commit"][:12] + (" with uncommitted changes" if made["dirty"] == "true" else "")
    counts = records["git_commit"].value_counts() if len(records) else {}
    trained = ", ".join(f"{count} at {str(name)[:12]}" for name, count in counts.items()) or "none"
    minutes = float(records.reindex(columns=["seconds", "seconds/setup"]).sum().sum()) / 60
    versions = ", ".join(f"{name} {version(name)}" for name in ("rrrbench", "torch", "numpy"))
    return "\n".join(
        [
            f"# {paper}: published beside measured",
            "",
            suite.description,
            "",
            f"Made by `rrrbench reproduce {paper}` at commit {commit}: {versions}, Python {platform.python_version()}, "
            f"{os.cpu_count()} cores. Of {len(suite.keys())} runs {len(records)} are recorded, {minutes:.0f} "
            f"minutes of training by each run's own count ({trained}). Verdicts as in RULES.md: {summary(table)}.",
            "",
            render(table, "md", dim=lambda text: f"*{text}*"),
            "",
            "Points are hundredths of a metric's range. Recalled numbers, in italics, get no verdict.",
            "",
        ]
    )


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3f}"
