"""Whether a sqlite file reads."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def unreadable(path: Path) -> str:
    """Why a path is no sqlite database; empty if it is one that reads, is locked, or is not there."""
    if path.is_dir():
        return "is a folder"
    if not path.is_file() or not path.stat().st_size:
        return ""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as database:
            (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError:  # locked, or not ours to read: no fault of the file
        return ""
    except sqlite3.DatabaseError as error:
        said = str(error)
    return "" if said == "ok" else f"does not read as a database ({said.strip().splitlines()[-1]})"
