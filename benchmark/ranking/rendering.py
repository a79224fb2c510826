"""A ranking of mitigations as text: plain, Markdown, LaTeX, csv."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from textwrap import fill
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from tabulate import tabulate

from ..metrics.column import Column
from ..store.record import ELSEWHERE
from .inert import csv, json_rows, markdown, one_line
from .selection import SHIFTED, rule_named
from .statistics import with_interval
from .sweeps import SWEEP, SweepName, sweep_names

Format = Literal["table", "csv", "json", "md", "tex"]

WIDTH = 150
ALPHA = 0.05
WORDS = re.compile(r"[^\s,=@_+/()\[\]-]+[\s,=@_+/()\[\]-]*|[\s,=@_+/()\[\]-]+")
"""A word with the punctuation after it."""
STYLES = {"table": "simple", "md": "pipe", "tex": "latex_booktabs"}
"""What tabulate calls the formats."""
HEADINGS = {"md": "### ", "tex": "% "}
BULLETS = {"md": "- ", "tex": "% "}


def render_mitigations(board: pd.DataFrame, format: Format = "table", left_out: pd.DataFrame | None = None) -> str:
    """A board as text under 150 columns wide, as csv with all columns in full precision, as Markdown or LaTeX.

    A block a dataset; LaTeX has a `tabular` a dataset, for the package booktabs.

    Args:
        board: of `rank_mitigations`.
        left_out: of `unranked_mitigations`, to be named with their reasons; not in a csv.

    Raises:
        ValueError: there is no such format.
    """
    if format not in get_args(Format):
        raise ValueError(f"no format is called {format!r}; known: {', '.join(get_args(Format))}")
    if format == "csv":
        return csv(board)
    if format == "json":
        return json_rows(board)
    left_out = board.head(0) if left_out is None else left_out
    names = sweep_names(pd.concat([rows[SWEEP] for rows in (board, left_out) if len(rows)] or [board[SWEEP]]))
    reasons = [inert(_not_ranked(row, names[row["sweep_key"]]), format) for row in left_out.to_dict("records")]
    if board.empty:
        begin = BULLETS["tex"] if format == "tex" else ""
        return "\n".join(begin + line for line in ("no sweep has an eligible strength", *reasons)) + "\n"
    blocks = [_block(str(dataset), rows, names, format) for dataset, rows in board.groupby("dataset")]
    lines = [BULLETS.get(format, "") + line for line in (*reasons, *_caption(board, names, format))]
    caption = "\n".join(fill(line, WIDTH - 1, subsequent_indent="  ") if format == "table" else line for line in lines)
    return "\n\n".join([*blocks, caption]) + "\n"


@cache
def metric_columns() -> tuple[Column, ...]:
    """The metrics' columns, from left to right."""
    from ..metrics.base import metrics  # and torch, which a leaderboard does without until it is rendered

    return metrics.columns()


def cell(shown: Column, mean: float, low: float, high: float) -> str:
    """A mean with its interval, if the column shows it, in the metric's decimals."""
    ends = (low, high) if shown.interval else (np.nan, np.nan)
    return with_interval(mean, *ends, shown.decimals)


def inert(text: str, format: Format) -> str:
    """A text as one line that a reader of the format shows as it is."""
    return markdown(text) if format == "md" else one_line(text)


def tabulated(cells: pd.DataFrame, format: Format, names: int, room: int | None = None) -> str:
    """A table with the first `names` columns to the left and at most `room` wide, and numbers to the right."""
    numbers = len(cells.columns) - names
    rows = [[inert(str(value), format) for value in row] for row in cells.to_numpy().tolist()]
    if room is not None:
        rows = [[*(wrapped(name, room) for name in row[:names]), *row[names:]] for row in rows]
    alignment = ["left"] * names + ["right"] * numbers
    return tabulate(rows, list(map(str, cells.columns)), STYLES[format], disable_numparse=True, colalign=alignment)


def wrapped(text: str, room: int) -> str:
    """The text in lines of at most `room`, broken at blanks and punctuation; a longer word has a line of its own."""
    lines = [""]
    for part in WORDS.findall(text):
        if lines[-1] and len((lines[-1] + part).rstrip()) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def protocols_in_words(rows: pd.DataFrame) -> str:
    """`protocol 2.0`; the protocols of all rows, `protocols 1.0 and 2.0`, where they have several."""
    known = sorted({one_line(protocol) or "unknown" for protocol in rows["protocol"]})
    return f"protocol{'s' if len(known) > 1 else ''} {' and '.join(known)}"


def _not_ranked(row: Mapping[Any, Any], name: SweepName) -> str:
    masks = "" if row["masks"] == "true" else f", masks {row['masks']}"
    return f"not ranked: {row['mitigation']}{masks} on {name}: {row['reason']}"


def _block(dataset: str, rows: pd.DataFrame, names: Mapping[str, SweepName], format: Format) -> str:
    networks = rows["network"].unique()
    heading = dataset if len(networks) > 1 else f"{dataset}, {networks[0]}"
    rows = rows.assign(difference=[names[key].difference for key in rows["sweep_key"]])
    told = [name for name, usual in (("masks", "true"), ("note", "")) if (rows[name] != usual).any()]
    differences = ["difference"] if (rows["difference"] != "").any() else []
    texts = rows[[*(["network"] if len(networks) > 1 else []), *differences, "mitigation", "needs", *told]]
    strengths = rows["strength"].map("{:.3g}".format).mask(rows["mitigation"] == ELSEWHERE, "-")
    cells = texts.assign(strength=strengths, seeds=rows["seeds"].map(str))
    for shown in _present_columns(rows):
        ends = rows[[shown.id, f"{shown.id}:low", f"{shown.id}:high"]]
        cells[shown.title] = [cell(shown, *numbers) for numbers in ends.itertuples(index=False)]
    if format == "table":
        return f"{inert(heading, format)}\n\n{_fitted(cells, len(texts.columns))}"
    flat = cells.rename(columns=lambda title: title.replace("\n", " "))
    between = "\n\n" if format == "md" else "\n"
    return HEADINGS[format] + inert(heading, format) + between + tabulated(flat, format, len(texts.columns))


def _fitted(cells: pd.DataFrame, names: int) -> str:
    """A plain table whose longest names are wrapped until it is narrow enough."""
    longest = int(cells.iloc[:, :names].map(len).to_numpy().max())
    tables = (tabulated(cells, "table", names, room) for room in range(longest, 7, -1))
    narrow = (table for table in tables if max(map(len, table.splitlines())) < WIDTH)
    return next(narrow, "") or tabulated(cells, "table", names, 8)


def _present_columns(rows: pd.DataFrame) -> list[Column]:
    """The table's metrics that some row has; of the shifted accuracies only the headline."""
    present = [shown for shown in metric_columns() if shown.id in rows and rows[shown.id].notna().any()]
    shifted = [shown.id for shown in present if shown.id in SHIFTED]
    return [shown for shown in present if shown.id not in shifted[1:]]


def _caption(board: pd.DataFrame, names: Mapping[str, SweepName], format: Format) -> list[str]:
    fewest, most = board["seeds"].min(), board["seeds"].max()
    seeds = f"{most} seed{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} seeds"
    rules = [f"rule {name}: {rule_named(name).meaning}" for name in board["rule"].unique()]
    legends = [" ".join(f"{shown.title}: {shown.legend}".split()) for shown in _present_columns(board) if shown.legend]
    compared = [inert(_compared(rows, names[str(key)]), format) for key, rows in board.groupby("sweep_key", sort=False)]
    intervals = f"cells: mean [95 % t interval over {seeds}]"
    return [intervals, protocols_in_words(board), *rules, *legends, *filter(None, compared)]


def _compared(rows: pd.DataFrame, name: SweepName) -> str:
    """Which rows of a sweep have another headline accuracy than ERM; empty where nothing was compared with it."""
    compared = rows[rows["gain_p"].notna()] if "gain_p" in rows else rows.head(0)
    if compared.empty:
        return ""
    labels = compared["mitigation"] + compared["masks"].map(
        lambda masks: "" if masks == "true" else f" ({masks} masks)"
    )
    sure = compared["gain_p"] < ALPHA
    above, below = (", ".join(labels[sure & side]) or "none" for side in (compared["gain"] > 0, compared["gain"] < 0))
    test = f"paired t test by seed, 5 %, Holm over {len(compared)}"
    return f"accuracy against erm's on {name} ({test}): higher: {above}; lower: {below}"
