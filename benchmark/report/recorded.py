"""The material of a report: the runs of a suite with all that their pages show, from the store or from a file."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..running.data_files import warn_of_older
from ..store.foreign import BESIDE as BESIDE
from ..store.foreign import BadRecords, check_column, check_rows, read_foreign
from ..store.frames import details, flat
from ..store.home import home
from ..store.record import Record
from ..store.records import RecordStore
from ..suite.loading import load_suite
from ..suite.naming import file_name
from ..suite.sweep import Suite
from ..suite.training import Training

MOST_WORDS = 10_000
"""Characters of a description."""


@dataclass(frozen=True)
class Recorded:
    """The runs of one suite.

    Attributes:
        runs: a row a run: the flat row, and `BESIDE`; `curves` and `configuration` as JSON.
        pictures: a folder a sweep, named by its sweep key; None for a file without pictures beside it.
        foreign: the rows are from a file, which anybody may have written: no data are read because it says so.
        named: the suite as commands know it, a name or the path of its TOML file; empty for a file of records.
    """

    name: str
    description: str
    runs: pd.DataFrame
    pictures: Path | None = None
    foreign: bool = False
    named: str = ""


def recorded(suite: str) -> Recorded:
    """A suite by its name or its TOML file, from the folder of results; or a file that `rrrbench records` wrote.

    Raises:
        UnknownName: there is no such suite.
        ValueError: no run of it is in the folder.
        BadRecords: a file with a column or a cell that no record has.
    """
    return _from_file(Path(suite)) if suite.endswith(".parquet") else _from_store(suite)


def write_recorded(suite: str, out: Path) -> None:
    """Writes a suite's runs as a parquet file, and their pictures into a folder beside it.

    Twins of data that are read from files are among the pictures: who reads the file may not have the data.

    Raises:
        UnknownName, ValueError: as of `recorded`.
        OSError: the files cannot be written.
    """
    found = recorded(suite)
    found.runs.to_parquet(out, index=False, compression="zstd")
    if found.pictures is not None:
        copy_pictures(found.pictures, found.runs["sweep_key"], pictures_beside(out))
    if not found.foreign:
        from .twins import write_strips  # and torch, which a report of files does without

        write_strips(found.runs, pictures_beside(out))


def pictures_beside(path: Path) -> Path:
    """The folder of the pictures that belong to a file of records."""
    return path.with_suffix(".pictures")


def copy_pictures(pictures: Path, sweep_keys: Iterable[str], out: Path) -> None:
    """Copies the pictures of these sweeps, a folder a sweep; a sweep may have none."""
    for sweep_key in set(sweep_keys):
        for path in sorted((pictures / sweep_key).glob("*.png")):
            (out / sweep_key).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / sweep_key / path.name)


def records_of(suite: Suite, named: str) -> list[Record]:
    """The records of a suite that has at least one, and those of networks evaluated on its data.

    Warns of records of an older content of a data file.

    Args:
        named: the suite as commands know it, for the message.

    Raises:
        ValueError: it has none; the message says where was looked.
    """
    folder = home()
    store = RecordStore(folder)
    if found := store.all(suite.keys()):
        every = [*found, *store.evaluated(suite.dataset_keys())]
        warn_of_older(store, suite.stacks(), every)
        return every
    raise ValueError(
        f"no run of suite {suite.name!r} is in {folder}: `rrrbench run {shlex.quote(named)}` makes them, "
        "RRRBENCH_HOME names another folder"
    )


def rows_of(suite: Suite, named: str) -> pd.DataFrame:
    """The flat rows of a suite that has at least one.

    Args:
        named: the suite as commands know it, for the message.

    Raises:
        ValueError: it has none; the message says where was looked.
    """
    return flat(records_of(suite, named))


def _from_store(name: str) -> Recorded:
    suite = load_suite(name)
    return recorded_as(suite, records_of(suite, name), home(), name)


def recorded_as(suite: Suite, records: list[Record], folder: Path, named: str = "") -> Recorded:
    """The records of a suite, from a folder of results, as the material of a report."""
    rows = pd.concat([flat(records), details(records)], axis=1)
    rows.attrs["description"] = suite.description  # a parquet file keeps it
    return Recorded(suite.name, suite.description, rows, RecordStore(folder).pictures, named=named)


def _from_file(path: Path) -> Recorded:
    rows = read_foreign(path)
    if "protocol_version" in rows and "configuration" in rows:
        check_column(rows["configuration"], str(path))
        rows = _upgraded(rows, str(path))
    check_rows(rows, str(path))
    description, pictures = str(rows.attrs.get("description", ""))[:MOST_WORDS], pictures_beside(path)
    return Recorded(file_name(path.stem), description, rows, pictures if pictures.is_dir() else None, foreign=True)


def _upgraded(rows: pd.DataFrame, origin: str) -> pd.DataFrame:
    """The rows of a file that version 0.1 wrote, with the columns of today: `training` and `protocol`.

    Keys stay as they are: they are of another protocol, and no key of today.

    Raises:
        BadRecords: the file has such a column already.
    """
    if double := {"training", "protocol"} & set(rows.columns):
        raise BadRecords(
            f"{origin} has the columns 'protocol_version' and 'configuration' of version 0.1 and {sorted(double)[0]!r} "
            "of today: write it with `rrrbench records SUITE --format parquet --out FILE`"
        )
    defaults = Training().model_dump(mode="json")
    trained = [json.loads(configuration).get("training", {}) for configuration in rows["configuration"]]
    changed = [{name: own[name] for name in sorted(own) if own[name] != defaults.get(name)} for own in trained]
    training = [",".join(f"{name}={value}" for name, value in settings.items()) for settings in changed]
    return rows.rename(columns={"protocol_version": "protocol"}).assign(training=training)
