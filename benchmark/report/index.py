"""The leaderboard's rows on the first page, and the committed results as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from ..metrics.column import Column
from ..ranking.rendering import cell, metric_columns
from ..ranking.selection import SHIFTED
from .points import leading, shifted_metric
from .ranked_sweep import RankedSweep

TABLES = ("leaderboard/explainers*.csv", "leaderboard/counterfactuals*.csv")
"""Committed results beside the leaderboard, each shown as a table as it is."""
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


def board_columns() -> list[Column]:
    """The metrics' columns of the first page: the headline, the columns of every leaderboard, liveness."""
    return [HEADLINE, *(shown for shown in metric_columns() if shown.id not in SHIFTED), LIVENESS]


def board_rows(sweep: RankedSweep) -> list[dict[str, Any]]:
    """The rows of a sweep by every rule: names, cells as text, and the numbers by which rows are sorted."""
    return [row for rule, board in sweep.boards.items() for row in _rows(sweep, rule, board)]


def committed_tables(results: Path) -> Iterator[Table]:
    """Every csv among the committed results."""
    for pattern in TABLES:
        for path in sorted(results.glob(pattern)):
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            yield path.relative_to(results).as_posix(), list(table.columns), table.to_numpy().tolist()
    paths = [path for path in sorted(results.glob("submissions/*.json")) if path.with_suffix(".py").is_file()]
    submitted = [json.loads(path.read_text()) for path in paths]  # a row without its file is nobody's
    rows = pd.DataFrame([result for row in submitted for result in row["results"]])
    if not rows.empty:
        yield "submissions", *_submissions(rows)


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


def _submissions(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The rows that pull requests added, in the index's columns."""
    names = ["mitigation", "dataset", "network", "needs"]
    table = rows[names].assign(strength=rows["strength"].map("{:.3g}".format))
    metric = shifted_metric(rows)
    for shown in board_columns():
        ids = [f"{metric if shown is HEADLINE else shown.id}{end}" for end in ("", ":low", ":high")]
        values = rows.reindex(columns=ids).itertuples(index=False)
        table[shown.title.replace("\n", " ")] = [cell(shown, *numbers) for numbers in values]
    return list(table.columns), table.to_numpy().tolist()
