"""Rows of the leaderboard that pull requests brought: `results/submissions/NAME.json` beside its file `NAME.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from ...datasets.own_code import Refused

LIKE = "mitigations-quick"
"""The suite whose datasets, network, training and seeds a submission is measured with, and under which it is shown."""
MARK = "submitted"
FOLDER = "submissions"
ENDINGS = (".py", ".json")


def submitted_rows(results: Path) -> pd.DataFrame:
    """The rows of every submission that is whole, as `rank_mitigations` makes them; a row without its file is left out.

    Args:
        results: the folder of committed results.

    Raises:
        Refused: the folder of submissions is a link, or a file in it is no submission's.
    """
    folder = results / FOLDER
    if folder.is_symlink():
        raise Refused(f"{folder} is a link: make it a folder, whose files `rrrbench submit changed` checks")
    files = sorted(path for path in folder.glob("*") if path.name.lower().endswith(ENDINGS))
    for path in files:
        require_plain(path)
    paths = [path for path in files if path.suffix == ".json" and path.with_suffix(".py").is_file()]
    rows = pd.DataFrame([result for path in paths for result in json.loads(path.read_text("utf-8"))["results"]])
    if rows.empty:
        return rows
    notes = rows["note"].fillna("") if "note" in rows else pd.Series("", rows.index)
    return rows.assign(note=[f"{MARK}; {note}" if note else MARK for note in notes])


def require_plain(path: Path) -> None:
    """Raises Refused unless a submission's file or row is called NAME.py or NAME.json, and is a file itself.

    So `NAME.json` has one `NAME.py` and the reverse, on every file system.
    """
    if path.name.startswith(".") or path.suffix not in ENDINGS:
        raise Refused(
            f"{str(path)!r} is no name of a submission: call it NAME.py, and its row NAME.json, in lower case"
        )
    try:
        path.name.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"{str(path)!a} has a name that is not UTF-8: rename it") from error
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise Refused(f"{path} is no plain file: add the file itself")
