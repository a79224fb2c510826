"""Files that are never seen half."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file beside its place, fsyncs it, and renames it there; makes the folder.

    Neither a kill nor another process that writes the same file leaves half of it. What is asked of the file system is
    that a rename within a folder is atomic.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full; the place is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with open(beside, "xb") as partial:  # with the rights that the user's files have, unlike a temporary file
            partial.write(content)
            partial.flush()
            os.fsync(partial.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
