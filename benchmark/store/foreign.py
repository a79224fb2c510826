"""Rows of runs from somebody else's file, checked cell by cell before anything is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd

from ..suite.protocol import PROTOCOL_VERSION, PROTOCOLS
from .frames import DETAILS, IDENTITY, is_ranked
from .record import ROUNDING, Status, range_of

BESIDE = (*DETAILS, "curves", "configuration")
"""The columns that a record's own page shows beside its metrics."""
MOST_ROWS, MOST_COLUMNS, MOST_BYTES = 1_000_000, 5_000, 2**31
LONGEST_NAME, LONGEST_TEXT = 500, 100_000


class BadRecords(ValueError):
    """A file of records that is refused; the message has its name, and the column, row and value."""


class Column(NamedTuple):
    """A column of text: the cells that it may have, and how these are said."""

    fits: Callable[[str], bool]
    expected: str


def read_foreign(path: Path) -> pd.DataFrame:
    """Reads a parquet file, if it is one and of a size that a file of records has.

    Raises:
        BadRecords: it is not.
        OSError: there is no such file.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    if path.is_dir():
        raise BadRecords(f"{path} is a folder: name a file of `rrrbench records SUITE --format parquet --out FILE`")
    with path.open("rb"):
        pass  # a file that is not there is not a bad one
    try:
        head = ParquetFile(path).metadata
        size = sum(head.row_group(i).total_byte_size for i in range(head.num_row_groups))
        for said, value, most in (("rows", head.num_rows, MOST_ROWS), ("columns", head.num_columns, MOST_COLUMNS),
                                  ("bytes", size, MOST_BYTES)):  # fmt: skip
            if value > most:
                raise BadRecords(f"{path} has {value:,} {said}, more than the {most:,} of any file of records")
        return pd.read_parquet(path).reset_index(drop=True)
    except BadRecords:
        raise
    except (ArrowException, ValueError, TypeError, KeyError, OSError, MemoryError) as error:
        raise BadRecords(
            f"{path} does not read as parquet ({_first_line(error)}): write it with `rrrbench records SUITE --format "
            "parquet --out FILE`"
        ) from error


def check_rows(rows: pd.DataFrame, origin: str) -> None:
    """Checks the rows of `origin`, as `frames.flat` and `frames.details` make them: columns, types, ranges, keys.

    Raises:
        BadRecords: at the first cell that no record has.
    """
    for name in (*IDENTITY, *BESIDE):
        if name not in rows:
            raise BadRecords(
                f"{origin} has no column {name!r}: write it with `rrrbench records SUITE --format parquet --out FILE`"
            )
    if rows.empty:
        raise BadRecords(f"{origin} has no rows")
    for name in rows.columns:
        if not isinstance(name, str) or not _is_name(name):
            raise BadRecords(f"{origin}: column {_short(name)} is no name of a column")
        if is_ranked(name):
            raise BadRecords(
                f"{origin}: column {_short(name)} is no column of runs, the leaderboard makes it from them: remove or "
                "rename the column"
            )
        check_column(rows[name], origin)
    _check_together(rows, origin)


def check_column(column: pd.Series, origin: str) -> None:
    """Checks the cells of a column by themselves.

    Raises:
        BadRecords: at the first cell that no record has.
    """
    if (known := TEXTS.get(str(column.name))) is None:
        _check_number(column, origin)
        return
    good: set[str] = set()  # many rows say the same
    for row, cell in enumerate(column):
        if not isinstance(cell, str) or (cell not in good and not known.fits(cell)):
            raise BadRecords(
                f"{origin}: column {column.name!r}, row {row} is {_short(cell)}, expected {known.expected}"
            )
        good.add(cell)


def _check_number(column: pd.Series, origin: str) -> None:
    """A number in its metric's range; NaN where it was not measured."""
    name = str(column.name)
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column) or column.dtype.kind == "c":
        value = next((cell for cell in column if not _is_number(cell)), column.iat[0])
        row = next((i for i, cell in enumerate(column) if not _is_number(cell)), 0)
        raise BadRecords(f"{origin}: column {name!r}, row {row} is {_short(value)}, expected a number")
    values = column.to_numpy(dtype=float, na_value=np.nan)
    low, high = _range(name)
    outside = (values < low - ROUNDING) | (values > high + ROUNDING)
    if name in ("strength", "seed"):
        outside |= ~np.isfinite(values)
    if name == "seed" and column.dtype.kind not in "iu":
        row = int((values != np.floor(values)).argmax())
        raise BadRecords(f"{origin}: column 'seed', row {row} is {column.iat[row]}, expected whole numbers alone")
    if outside.any():
        row = int(outside.argmax())
        raise BadRecords(
            f"{origin}: column {name!r}, row {row} is {column.iat[row]}, expected a number from {low:g} to {high:g}"
        )


def _range(name: str) -> tuple[float, float]:
    """Of a column: its metric's; any number, where no metric has this name, for a mitigation may report its own."""
    if name == "strength":
        return 0.0, np.finfo(np.float64).max
    if name == "seed":
        return 0.0, 2.0**63
    return range_of(name)


def _check_together(rows: pd.DataFrame, origin: str) -> None:
    """What the cells of several rows or columns say together."""
    repeated = rows["run_key"].duplicated()
    if repeated.any():
        row = int(repeated.to_numpy().argmax())
        first = int((rows["run_key"] == rows["run_key"].iat[row]).to_numpy().argmax())
        raise BadRecords(
            f"{origin}: column 'run_key', row {row} is {_short(rows['run_key'].iat[row])}, the key of row {first}: "
            "expected a key a run"
        )
    again = rows.duplicated(ONE_RUN)
    if again.any():
        row = int(again.to_numpy().argmax())
        first = int((rows[ONE_RUN] == rows[ONE_RUN].iloc[row]).all(axis=1).to_numpy().argmax())
        raise BadRecords(
            f"{origin}: row {row} is the run of row {first} (sweep, mitigation, masks, strength, seed): expected a row "
            "a run"
        )
    for name in ("dataset", "network", "training", "protocol"):
        of_sweep = rows.groupby("sweep_key")[name].transform("first")
        of_today = rows["protocol"] == PROTOCOL_VERSION  # version 0.1 recorded no training: it was made from two others
        differs = ((rows[name] != of_sweep) & (of_today if name == "training" else True)).to_numpy()
        if differs.any():
            row = int(differs.argmax())
            raise BadRecords(
                f"{origin}: column {name!r}, row {row} is {_short(rows[name].iat[row])}, and "
                f"{_short(of_sweep.iat[row])} in another row of the same sweep_key: expected runs of one sweep to agree"
            )
    for row, cells in enumerate(rows[["configuration", *CONFIGURED]].to_dict("records")):
        own = json.loads(cells["configuration"])
        if isinstance(own.get("mitigation"), dict):  # a row's name has parameters too, such as rrr[target=logit]
            own["mitigation"] = str(own["mitigation"].get("name", "")) + _parameters(cells["mitigation"])
        for name in CONFIGURED:
            value = cells[name]
            if name == "strength" and isinstance(own.get(name), str):
                continue  # "auto:1" is the strength 1 of a sweep by itself
            if name in own and (isinstance(own[name], bool) or own[name] != value):
                raise BadRecords(
                    f"{origin}: column 'configuration', row {row} has {name} {_short(own[name])}, and column {name!r} "
                    f"{_short(value)}: expected the same"
                )


def _parameters(name: str) -> str:
    """`[target=logit]` of `rrr[target=logit]`."""
    return name[name.index("[") :] if "[" in name else ""


def _is_name(text: str) -> bool:
    return text.isprintable() and 0 < len(text) <= LONGEST_NAME and text == text.strip()


def _is_key(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def _is_commit(text: str) -> bool:
    return re.fullmatch("|unknown|[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def _is_line(text: str) -> bool:
    return len(text) <= LONGEST_TEXT and not set(text) & {"\0", "\n", "\r"}


def _parsed(text: str) -> Any:
    """What JSON says; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_configuration(text: str) -> bool:
    content = _parsed(text) if len(text) <= LONGEST_TEXT else None
    return isinstance(content, dict) and all(isinstance(content.get(part, {}), dict) for part in PARTS)


def _is_curves(text: str) -> bool:
    if not text:
        return True
    content = _parsed(text)
    return isinstance(content, dict) and all(
        _is_name(name) and isinstance(curve, list) and all(map(_is_number, curve)) for name, curve in content.items()
    )


def _is_flips(text: str) -> bool:
    if not text:
        return True
    content = _parsed(text) if len(text) <= LONGEST_TEXT else None
    return isinstance(content, list) and all(
        isinstance(flip, list) and len(flip) == 3 and all(type(i) is int and 0 <= i < 2**31 for i in flip)
        for flip in content
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:100]}… ({len(text):,} characters)"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


ONE_RUN = ["sweep_key", "mitigation", "masks", "strength", "seed"]
"""Columns that two runs never have alike."""
CONFIGURED = ("protocol", "mitigation", "strength", "seed")
"""Columns that say what the configuration says."""
PARTS = ("dataset", "network", "training")
_NAME = Column(_is_name, f"a name of 1 to {LONGEST_NAME} printable characters")
_WORDS = Column(lambda text: not text or _is_name(text), f"up to {LONGEST_NAME} printable characters")
_KEY = Column(_is_key, "a key of 64 hexadecimal digits, 0 to 9 and a to f")
_LINE = Column(_is_line, f"a line of up to {LONGEST_TEXT:,} characters")
TEXTS: Mapping[str, Column] = {
    **dict.fromkeys(("dataset", "network", "mitigation"), _NAME),
    **dict.fromkeys(("training", "needs", "versions"), _WORDS),
    **dict.fromkeys(("run_key", "sweep_key"), _KEY),
    "dataset_digest": Column(lambda text: not text or _is_key(text), "a SHA-256 of 64 hexadecimal digits, or nothing"),
    "status": Column(lambda text: text in get_args(Status), f"one of {', '.join(get_args(Status))}"),
    "protocol": Column(lambda text: text in PROTOCOLS, f"a protocol that this version knows: {', '.join(PROTOCOLS)}"),
    "git_commit": Column(_is_commit, "a commit of 40 or 64 hexadecimal digits, unknown, or nothing"),
    "dirty": Column(lambda text: text in ("true", "false", "unknown", ""), "true, false, unknown, or nothing"),
    "masks": Column(
        lambda text: re.fullmatch(r"[a-z_]{1,40}|([a-z_]{1,40}, )?on \d{1,9} inputs", text, re.ASCII) is not None,
        "masks in words, such as true, wrong, on 25 inputs",
    ),
    "error": _LINE,
    "flips": Column(_is_flips, "JSON: triples of a test input and two predictions"),
    "curves": Column(_is_curves, "JSON: a list of numbers a metric"),
    "configuration": Column(_is_configuration, "a JSON object with objects as dataset, network and training"),
}
"""Every other column is a number."""
