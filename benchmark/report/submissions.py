"""Rows of the leaderboard that pull requests brought: `results/submissions/NAME.json` beside its file `NAME.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

LIKE = "mitigations-quick"
"""The suite whose datasets, network, training and seeds a submission is measured with, and under which it is shown."""
MARK = "submitted"


def submitted_rows(results: Path) -> pd.DataFrame:
    """The rows of every submission that is whole, as `rank_mitigations` makes them; a row without its file is left out.

    Args:
        results: the folder of committed results.
    """
    paths = [path for path in sorted(results.glob("submissions/*.json")) if path.with_suffix(".py").is_file()]
    rows = pd.DataFrame([result for path in paths for result in json.loads(path.read_text())["results"]])
    if rows.empty:
        return rows
    notes = rows["note"].fillna("") if "note" in rows else pd.Series("", rows.index)
    return rows.assign(note=[f"{MARK}; {note}" if note else MARK for note in notes])
