"""The last table of a finished suite, printed again before torch is imported.

Importing torch takes longer than everything that a finished suite needs. The file here is a copy for speed: lost or
unreadable, it is made again, and it says nothing if any run's file, the suite, the code or the server differs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from .. import suites
from ..store.addresses import shown
from ..store.whole import write_whole

SOURCES = Path(__file__).parents[2]


def remember(suite: str, home: Path, uri: str, rule: str, keys: Iterable[str], table: str) -> None:
    """Notes the table of a suite of which every run is finished and shown."""
    files = {key: _stamp(home, key) for key in keys}
    note = {"fingerprint": _fingerprint(suite, uri, rule), "files": files, "table": table}
    with suppress(OSError):  # a full disk costs the next run two seconds
        write_whole(_note(suite, home, rule), json.dumps(note).encode())


def table(suite: str, home: Path, uri: str, rule: str) -> str | None:
    """The table, if suite, code, server and every run's file are as they were when it was made."""
    try:
        note = json.loads(_note(suite, home, rule).read_bytes())
        same = note["fingerprint"] == _fingerprint(suite, uri, rule)
        if same and all(_stamp(home, key) == stamp for key, stamp in note["files"].items()):
            return str(note["table"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return None


def _note(suite: str, home: Path, rule: str) -> Path:
    name = hashlib.sha256(f"{suites.path_of(suite).absolute()} {rule}".encode()).hexdigest()[:16]
    return home / "tables" / f"{name}.json"


def _stamp(home: Path, key: str) -> list[int]:
    """Size and time of a finished run's file: another file has another time."""
    found = os.stat(home / "records" / key[:2] / f"{key}.json")
    return [found.st_size, found.st_mtime_ns]


def _fingerprint(suite: str, uri: str, rule: str) -> str:
    """Of what the keys and the table depend on: the suite's file, rrrbench's code, the server, the rule, the data."""
    data = os.environ.get("RRRBENCH_DATA", "")
    sha = hashlib.sha256(f"{shown(uri)} {rule} {data}".encode() + suites.path_of(suite).read_bytes())
    for folder in ("benchmark", "datasets", "methods"):
        for path in sorted((SOURCES / folder).rglob("*.py")):
            sha.update(path.read_bytes())
    return sha.hexdigest()
