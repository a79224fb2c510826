"""The leaderboard's rows on the first page, and the committed results as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..metrics.column import Column
from ..ranking.rendering import cell, metric_columns
from ..ranking.selection import SHIFTED
from ..ranking.sweeps import SweepName
from ..suite.protocol import PROTOCOL_VERSION
from .points import leading, shifted_metric
from .ranked_sweep import RULE, RankedSweep
from .recorded import Recorded
from .submissions import LIKE, submitted_rows

TABLES = ("leaderboard/explainers*.csv", "leaderboard/counterfactuals*.csv")
"""Committed results beside the leaderboard, each shown as a table."""
LONG = re.compile(r"-?\d+\.\d{4,}|-?\d+(\.\d+)?e[-+]?\d+")
HEADLINE = Column(
    "headline",
    "accuracy\nunder shift",
    "accuracy where the shortcut no longer helps: on the first of random, conflict, clean that the dataset has; "
    "of photos on exchanged or removed, twins that are made up from masks; "
    "bold: the best group, where intervals separate it from the others",
)
LIVENESS = Column(
    "liveness/end",
    "liveness",
    "norm of the right-reason term's gradient over the right-answer term's, at the end of training; 0: dead",
    interval=False,
)

Table = tuple[str, list[str], list[list[str]]]
"""A table's name, its header, and its rows."""


def opening_suite(recordings: Sequence[Recorded]) -> str:
    """The suite on which the table opens: the one with the most mitigations under this version's protocol."""

    def mitigations(recording: Recorded) -> int:
        runs = recording.runs
        return runs.loc[runs["protocol"] == PROTOCOL_VERSION, "mitigation"].nunique()

    return max(recordings, key=mitigations).name


def board_columns() -> list[Column]:
    """The metrics' columns of the first page: the headline, the columns of every leaderboard, liveness."""
    return [HEADLINE, *(shown for shown in metric_columns() if shown.id not in SHIFTED), LIVENESS]


def board_rows(sweep: RankedSweep) -> list[dict[str, Any]]:
    """The rows of a sweep by every rule: names, cells as text, and the numbers by which rows are sorted."""
    return [row for rule, board in sweep.boards.items() for row in _rows(sweep, rule, board)]


def submitted_board_rows(results: Path, sweeps: Sequence[RankedSweep]) -> list[dict[str, Any]]:
    """The rows that pull requests brought, beside the rows of the suite that they are measured like.

    Args:
        results: the folder of committed results.
    """
    rows = submitted_rows(results)
    if rows.empty:
        return []
    by_key = {str(sweep.runs["sweep_key"].iat[0]): sweep for sweep in sweeps}
    suite = LIKE if any(sweep.suite == LIKE for sweep in sweeps) else "submissions"
    return [
        _submitted(row, by_key, suite, shifted_metric(own))
        for _, own in rows.groupby("dataset", sort=False)
        for _, row in own.iterrows()
    ]


def committed_tables(results: Path) -> Iterator[Table]:
    """Every csv among the committed results, rounded, its intervals beside their numbers."""
    for pattern in TABLES:
        for path in sorted(results.glob(pattern)):
            table = _readable(pd.read_csv(path, dtype=str, keep_default_na=False))
            yield path.relative_to(results).as_posix(), list(table.columns), table.to_numpy().tolist()


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Numbers with three decimals, and `0.910 [0.902, 0.918]` of three columns of a number, its low and its high."""
    shown = table.map(_rounded)
    for name in [str(own) for own in table if {f"{own}:low", f"{own}:high"} <= {*table}]:
        low, high = (shown.pop(f"{name}:{end}") for end in ("low", "high"))
        shown[name] = [
            f"{mean} [{a}, {b}]" if a and b else mean for mean, a, b in zip(shown[name], low, high, strict=True)
        ]
    return shown


def _rounded(text: str) -> str:
    """A long number with three decimals, a small number with two digits; any other text as it is."""
    if not LONG.fullmatch(text):
        return text
    number = float(text)
    return f"{number:.3f}" if abs(number) >= 0.0005 or number == 0 else f"{number:.1e}"


def _rows(sweep: RankedSweep, rule: str, board: pd.DataFrame) -> Iterator[dict[str, Any]]:
    best = leading(board)
    for (_, row), leads in zip(board.iterrows(), best, strict=True):
        yield {
            "suite": sweep.suite,
            **sweep.name._asdict(),
            **{name: row[name] for name in ("protocol", "mitigation", "masks", "strength", "seeds", "note")},
            "needs": row["needs"] or "labels alone",
            "rule": rule,
            "cells": _cells(row, shifted_metric(board), leads),
            "sweep": sweep.page,
            "page": sweep.address(row["mitigation"], row["masks"], row["strength"]).removeprefix("../"),
        }


def _cells(row: pd.Series, headline: str | None, leads: bool) -> list[tuple[str, str, bool]]:
    """Of every metric's column the text, the number by which rows are sorted, and whether it is bold."""
    cells = []
    for shown in board_columns():
        metric = headline if shown is HEADLINE else shown.id
        numbers = [row.get(f"{metric}{end}", float("nan")) for end in ("", ":low", ":high")]
        text = cell(shown, *numbers)
        cells.append((text, "" if text == "-" else f"{numbers[0]:.6g}", shown is HEADLINE and leads))
    return cells


def _submitted(row: pd.Series, sweeps: Mapping[str, RankedSweep], suite: str, headline: str | None) -> dict[str, Any]:
    sweep = sweeps.get(str(row.get("sweep_key", "")))
    name = sweep.name if sweep else SweepName(str(row["dataset"]), str(row["network"]), "")
    told = {key: row.get(key, "") for key in ("protocol", "mitigation", "strength", "seeds", "note")}
    return {
        "suite": suite,
        **name._asdict(),
        **told,
        "masks": row.get("masks", "true"),
        "needs": row["needs"] or "labels alone",
        "rule": row.get("rule", RULE),
        "cells": _cells(row, headline, leads=False),
        "sweep": sweep.page if sweep else "",
        "page": "",
    }
