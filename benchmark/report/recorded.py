"""What a report is made from: the records of a suite with everything their pages show, from MLflow or from a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..store.frames import DETAILS, IDENTITY
from ..store.tracking import Tracker

if TYPE_CHECKING:
    from ..suite.sweep import Suite

BESIDE = (*DETAILS, "curves", "configuration")
"""The columns that a record's own page shows beside its metrics."""


@dataclass(frozen=True)
class Recorded:
    """The runs of one suite.

    Attributes:
        runs: one row a run: the record as `Tracker.records` has it, and `BESIDE`; `curves` and `configuration` as JSON.
        store: where the runs are logged; None for a file, which has no pictures.
    """

    name: str
    description: str
    runs: pd.DataFrame
    store: Tracker | None = None


def recorded(suite: str, uri: str) -> Recorded:
    """A suite by its name or its TOML file, from the store at `uri`; or a file that `rrrbench records` wrote.

    Raises:
        UnknownName: there is no such suite.
        ValueError: no run of it is in the store, or a file without a record's columns.
    """
    return _from_file(Path(suite)) if suite.endswith(".parquet") else _from_store(suite, uri)


def _from_store(name: str, uri: str) -> Recorded:
    from ..suite.loading import load_suite

    suite = load_suite(name)
    tracker = Tracker(uri, suite.name)
    rows = flat(suite, tracker)
    rows = rows.join(tracker.details(rows["run_key"]), on="run_key").fillna(dict.fromkeys((*DETAILS, "curves"), ""))
    stacks = {key: (stack, place) for stack in suite.stacks() for key, place in stack.places().items()}
    configurations = {key: json.dumps(stack.configuration(*place)) for key, (stack, place) in stacks.items()}
    rows["configuration"] = rows["run_key"].map(configurations)
    rows.attrs["description"] = suite.description  # a parquet file keeps it
    return Recorded(suite.name, suite.description, rows, tracker)


def flat(suite: Suite, tracker: Tracker) -> pd.DataFrame:
    """The rows of a suite that has at least one.

    Raises:
        ValueError: it has none.
    """
    rows = tracker.records(suite.keys())
    if rows.empty:
        raise ValueError(f"no run of suite {suite.name!r} is in {tracker.uri}: `rrrbench run {suite.name}` makes them")
    return rows


def _from_file(path: Path) -> Recorded:
    rows = pd.read_parquet(path)
    if missing := [name for name in (*IDENTITY, *BESIDE) if name not in rows]:
        raise ValueError(
            f"{path} has no column {missing[0]!r}: write it with `rrrbench records SUITE --format parquet --out {path}`"
        )
    return Recorded(path.stem, rows.attrs.get("description", ""), rows)
