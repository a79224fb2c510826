"""Flat rows: records as a table, a row a run, which rankings and pages read."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ...methods.fitting import CURVES
from .record import Record

IDENTITY = (
    *("dataset", "network", "training", "mitigation", "masks", "strength", "seed", "run_key", "sweep_key", "status"),
    *("needs", "error", "protocol", "git_commit"),
)
"""The columns of a flat row before its metrics. `training` are the settings that differ from their defaults; runs are
compared where `sweep_key` is the same, and names are for display."""
DETAILS = ("dataset_digest", "dirty", "versions", "flips")
"""What a run's page shows beside the flat row: where it came from, and the twins on which it flips."""

RANKED = ("rule", "seeds", "note", "reason", "headline", "regret", "mask_effect", "gain", "gain_p", "seconds_over_erm")
ENDS = (":low", ":high", ":seeds")


def is_ranked(column: str) -> bool:
    """Whether rankings make a column of this name from the runs, so that no run may have it."""
    return column in RANKED or column.endswith(ENDS)


def flat(records: Sequence[Record]) -> pd.DataFrame:
    """A row a record, in their order: `IDENTITY`, then a column a metric; NaN where a record lacks the metric."""
    metrics = sorted({name for record in records for name in record.metrics})
    last = {name: [record.curves[name][-1] if record.curves.get(name) else math.nan for record in records]
            for name in CURVES}  # fmt: skip
    columns = {name: [_cell(record, name) for record in records] for name in IDENTITY}
    columns |= {name: values for name, values in last.items() if not all(map(math.isnan, values))}
    columns |= {name: [record.metrics.get(name, math.nan) for record in records] for name in metrics}
    return pd.DataFrame(columns)


def details(records: Sequence[Record]) -> pd.DataFrame:
    """A row a record: `DETAILS`, and `curves` (to six digits) and `configuration` as JSON."""
    return pd.DataFrame(
        {
            "dataset_digest": [record.digest for record in records],
            "dirty": [record.provenance.get("dirty", "") for record in records],
            "versions": [record.provenance.get("versions", "") for record in records],
            "flips": [json.dumps(record.flips) for record in records],
            "curves": [_curves(record) for record in records],
            "configuration": [json.dumps(record.configuration) for record in records],
        }
    )


def _cell(record: Record, name: str) -> Any:
    match name:
        case "error":  # the last line of a traceback
            return (record.error.strip().splitlines() or [""])[-1]
        case "git_commit":
            return record.provenance.get("git_commit", "")
        case _:
            return getattr(record, name)


def _curves(record: Record) -> str:
    return json.dumps({name: [float(f"{value:.6g}") for value in curve] for name, curve in record.curves.items()})
