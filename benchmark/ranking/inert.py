"""Names in tables, made inert: a cell is one line of text in LaTeX, in Markdown and in csv; and tables as JSON."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

FORMULA = re.compile(r"\s*[=+\-@|\uff1d\uff0b\uff0d\uff20]|[\t\r\n\0]")
"""How a cell begins that a spreadsheet takes for a formula or a command."""


def one_line(text: str) -> str:
    """The text without line breaks and control characters: a space for a run of them."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+", " ", text).strip()


def markdown(text: str) -> str:
    """One line of Markdown that shows the text: no cell, tag, link or code begins in it."""
    return re.sub(r"[|<`]|(?<=\])(?=\()", lambda found: "&lt;" if found[0] == "<" else f"\\{found[0]}", one_line(text))


def csv(table: pd.DataFrame) -> str:
    """A table as csv; a text that a spreadsheet would run begins with an apostrophe. Numbers stay numbers."""
    inert = table.copy()
    for place in range(len(table.columns)):
        if not pd.api.types.is_numeric_dtype(table.iloc[:, place]):
            inert.isetitem(place, [_cell(value) for value in table.iloc[:, place]])
    inert.columns = [_cell(name) for name in table.columns]
    return inert.to_csv(index=False)


def json_rows(table: pd.DataFrame) -> str:
    """A table as a JSON list of objects, with every column in full precision; what is not a number is null."""
    return table.to_json(orient="records", indent=2, double_precision=15)


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\r", " ")  # which ends a line, and which no writer of csv quotes
    return f"'{text}" if FORMULA.match(value) and not _is_number(value) else text


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text) is not None
