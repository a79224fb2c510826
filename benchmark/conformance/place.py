"""Where in a file an error was raised."""

from __future__ import annotations

import traceback
from pathlib import Path


def place_in(error: BaseException | None, path: Path) -> str:
    """The last line of the file that the error went through, such as ` (own.py, line 12)`; empty if there is none."""
    frames = traceback.extract_tb(None if error is None else error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == path.name]
    return f" ({path.name}, line {lines[-1]})" if lines else ""
