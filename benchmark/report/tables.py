"""Committed results beside the leaderboard: tables as they are, and the rows of submissions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..metrics.base import metrics
from ..metrics.column import Column
from ..ranking.rendering import cell
from ..ranking.selection import SHIFTED
from .points import shifted_metric

TABLES = ("reproduced/*.csv", "leaderboard/explainers*.csv", "leaderboard/counterfactuals*.csv")
"""Below the folder of results, each shown as a table as it is."""
HEADLINE = Column(
    "headline",
    "accuracy\nunder shift",
    "accuracy where the shortcut no longer helps: on the first of random, conflict, clean that the dataset has; "
    "bold: the best group, where intervals separate it from the others",
)
LIVENESS = Column(
    "liveness/end",
    "liveness",
    "norm of the right-reason term's gradient over the right-answer term's, at the end of training; 0: dead",
    interval=False,
)


def page_columns() -> list[Column]:
    """The index's columns: a headline in place of the shifted accuracies, and liveness last."""
    return [HEADLINE, *(column for column in metrics.columns() if column.id not in SHIFTED), LIVENESS]


def committed_tables(results: Path) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Each csv among the committed results: its name, header, and rows."""
    for pattern in TABLES:
        for path in sorted(results.glob(pattern)):
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            yield path.relative_to(results).as_posix(), list(table.columns), table.to_numpy().tolist()
    submitted = [json.loads(path.read_text()) for path in sorted(results.glob("submissions/*.json"))]
    rows = pd.DataFrame([result for row in submitted for result in row["results"]])
    if not rows.empty:
        yield "submissions", *_submissions(rows)


def _submissions(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The rows that pull requests added, in the index's columns."""
    names = ["mitigation", "dataset", "network", "needs"]
    table = rows[names].assign(strength=rows["strength"].map("{:.3g}".format))
    metric = shifted_metric(rows)
    for shown in page_columns():
        ids = [f"{metric if shown is HEADLINE else shown.id}{end}" for end in ("", ":low", ":high")]
        values = rows.reindex(columns=ids).itertuples(index=False)
        table[shown.title.replace("\n", " ")] = [cell(shown, *numbers) for numbers in values]
    return list(table.columns), table.to_numpy().tolist()
