"""Published numbers joined to the runs that measure them, with a verdict on each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..metrics.base import metric
from ..suite.stack import MitigationStack
from ..suite.sweep import MitigationSweep, Suite, Sweep
from .published import Published
from .selection import NoEligibleStrength, select
from .statistics import Interval
from .verdict import point, prediction_interval, verdict

COLUMNS = (
    *("dataset", "network", "method", "condition", "metric", "published", "spread", "seeds", "measured", "sd", "n"),
    *("delta", "low", "high", "verdict", "minutes", "provenance", "source", "note"),
)
"""The columns of a joined table. `sd` and `minutes` are of the n measured runs, `delta` is in points, and `low` and
`high` end the prediction interval, cut at the metric's range."""


def stack_of(row: Published, suite: Suite) -> MitigationStack | None:
    """The runs that measure a published number: at its strength, or at all strengths among which its rule chooses.

    Returns:
        None for a row that names no sweep.

    Raises:
        ValueError: the suite has no such runs.
    """
    return place_of(row, suite)[2] if row.sweep else None


def place_of(row: Published, suite: Suite) -> tuple[Sweep, MitigationSweep, MitigationStack]:
    """The sweep and its mitigation in which the runs of a published number are, and these runs.

    Raises:
        ValueError: the suite has no such runs.
    """
    for sweep in suite.sweeps:
        for entry in sweep.mitigations:
            if (sweep.label, entry.mitigation.id) == (row.sweep, row.mitigation):
                for stack in _measuring(row, suite, sweep, entry):
                    return sweep, entry, stack
    raise ValueError(
        f"{row.paper}: suite {suite.name!r} has no run of {row.mitigation} at {row.strength} with masks {row.masks} in "
        f"a sweep labelled {row.sweep!r}: correct the row, or add it to the suite"
    )


def _measuring(row: Published, suite: Suite, sweep: Sweep, entry: MitigationSweep) -> Iterator[MitigationStack]:
    """The stacks of one mitigation of a sweep that measure a published number."""
    strength = None
    if not isinstance(row.strength, str):
        strength = entry.in_our_unit(row.strength or 0.0, sweep.training.batch_size)
    for stack in sweep.stacks(suite.seeds):
        if (stack.label, stack.dataset.annotation) != (row.mitigation, row.masks):
            continue
        if strength is None:
            yield stack
        elif strength in stack.strengths:
            yield replace(stack, strengths=(strength,))


def join_runs(rows: Sequence[Published], suite: Suite, runs: pd.DataFrame) -> pd.DataFrame:
    """Joins published numbers to measured numbers, in the order of the published rows; see `COLUMNS`.

    Args:
        runs: the flat rows of the suite's runs, as far as there are any.
    """
    runs = runs[runs["status"].isin(["finished", "diverged"])].set_index("run_key")
    return pd.DataFrame([_joined(row, suite, runs) for row in rows], columns=COLUMNS)


def _joined(row: Published, suite: Suite, runs: pd.DataFrame) -> dict[str, Any]:
    stack = stack_of(row, suite)
    runs = runs.loc[[key for key in (stack.places() if stack else ()) if key in runs.index]]
    if stack and isinstance(row.strength, str):
        runs = _chosen(row.strength, runs) if set(runs["strength"]) == set(stack.strengths) else runs.iloc[:0]
    values = _values(row.metric, runs)
    joined: dict[str, Any] = {name: getattr(row, name) for name in COLUMNS if name in Published.model_fields}
    joined |= {"published": row.value, "n": len(values), "verdict": "not run"}
    if not len(values):
        return joined
    known = metric(row.metric)
    unit, ends = point(known), prediction_interval(values, row.seeds or 1)
    _, low, high = Interval(values.mean(), *map(np.asarray, ends)).within(known.low, known.high)
    return joined | {
        "measured": values.mean(),
        "sd": values.std(ddof=1) if len(values) > 1 else None,
        "delta": None if row.value is None else (values.mean() - row.value) / unit,
        "low": float(low) if len(values) > 1 else None,
        "high": float(high) if len(values) > 1 else None,
        "verdict": verdict(row.value, values, published_seeds=row.seeds or 1, provenance=row.provenance, point=unit),
        "minutes": runs.reindex(columns=["seconds"]).sum().item() / 60,
    }


def _values(id: str, runs: pd.DataFrame) -> Float[np.ndarray, "runs"]:
    """The metric in each run; `class_accuracy/conflict/worst` is of the class whose mean over the runs is lowest."""
    of_a_class = f"^{id.removesuffix('worst')}"
    columns = runs.filter(regex=of_a_class) if id.endswith("/worst") else runs.reindex(columns=[id])
    columns = columns.dropna(axis="columns", how="all")
    return columns[columns.mean().idxmin()].dropna().to_numpy(float) if columns.size else np.empty(0)


def _chosen(rule: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs at the strength that the rule chooses; no runs if it can choose no strength."""
    try:
        return runs[runs["strength"] == select(rule, runs)]
    except NoEligibleStrength:
        return runs.iloc[:0]


def sweeps_left(suite: Suite, runs: pd.DataFrame) -> list[str]:
    """The labels of the sweeps that have runs without a record, each once."""
    recorded = set(runs["run_key"])
    labels = (
        sweep.label
        for sweep in suite.sweeps
        if any(key not in recorded for stack in sweep.stacks(suite.seeds) for key in stack.places())
    )
    return list(dict.fromkeys(labels))
