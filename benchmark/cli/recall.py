"""The last table of a finished suite, printed again before torch is imported.

Importing torch takes longer than everything that a finished suite needs. The file here is a copy for speed: lost or
unreadable, it is made again, and it says nothing if any run's file, any file of the data, the suite, the code or the
server differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from .. import suites
from ..store.addresses import shown
from ..store.server import is_sqlite, sqlite_path
from ..store.whole import write_whole

SOURCES = Path(__file__).parents[2]


def remember(
    suite: str,
    name: str,
    home: Path,
    uri: str,
    rule: str,
    keys: Iterable[str],
    table: str,
    data: Iterable[tuple[str, int, int, int]] = (),
    own: Sequence[Path] = (),
) -> None:
    """Notes the table of a suite of which every run is finished and shown.

    Args:
        name: the suite's own, by which its files are called.
        data: path, size and times (`datasets.files.Stamp`) of the files that data and weights were read from.
        own: the files of `--with`.
    """
    if not is_sqlite(uri):
        return  # whether a server still has the runs, only the server knows
    with suppress(OSError):  # a full disk costs the next run two seconds
        files = {str(path): _stamp(path) for path in [*(_record(home, key) for key in keys), *_beside(home, name, uri)]}
        note = {"fingerprint": _fingerprint(suite, uri, rule, own), "files": files, "data": list(data), "table": table}
        write_whole(_note(suite, home, rule), json.dumps(note).encode())


def table(suite: str, home: Path, uri: str, rule: str, own: Sequence[Path] = ()) -> str | None:
    """The table, if suite, code, server and every run's file are as they were when it was made."""
    try:
        note = json.loads(_note(suite, home, rule).read_bytes())
        same = note["fingerprint"] == _fingerprint(suite, uri, rule, own)
        there = all(_stamp(Path(path)) == stamp for path, stamp in note["files"].items())
        if same and there and all(_data_stamp(stamp[0]) == stamp for stamp in note["data"]):
            return str(note["table"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def _note(suite: str, home: Path, rule: str) -> Path:
    name = hashlib.sha256(f"{suites.path_of(suite).absolute()} {rule}".encode()).hexdigest()[:16]
    return home / "tables" / f"{name}.json"


def _record(home: Path, key: str) -> Path:
    return home / "records" / key[:2] / f"{key}.json"


def _beside(home: Path, name: str, uri: str) -> list[Path]:
    """The tables that the suite wrote, and MLflow's database."""
    beside = home / f"{name}.csv", home / f"{name}.md", sqlite_path(uri)
    return [path for path in beside if path.is_file()]


def _stamp(path: Path) -> list[int]:
    """Size and time of a file: another file has another time."""
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns]


def _data_stamp(path: str) -> list[str | int]:
    """What `datasets.files.stamp_of` says of a file, without importing torch."""
    found = os.stat(path)
    return [path, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _fingerprint(suite: str, uri: str, rule: str, own: Sequence[Path]) -> str:
    """Of what the keys and the table depend on: the suite's file, rrrbench's code, the user's, the server, the rule."""
    data = [os.environ.get(name, "") for name in ("RRRBENCH_DATA", "XDG_CACHE_HOME", "HOME")]
    sha = hashlib.sha256(f"{shown(uri)} {rule} {data} {Path.cwd()}".encode() + suites.path_of(suite).read_bytes())
    for folder in ("benchmark", "datasets", "methods"):
        for path in sorted((SOURCES / folder).rglob("*.py")):
            sha.update(f"{path} {_stamp(path)}".encode())
    for path in own:
        sha.update(f"{path.absolute()} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return sha.hexdigest()
