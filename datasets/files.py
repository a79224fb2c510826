"""Files that data are read from: whether they are what they were, by size and times first, then by content."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple


class Stamp(NamedTuple):
    """What a file system says of a file without reading it; a replaced file has another stamp.

    Attributes:
        changed_ns: time of the last change of content, name or rights, which no copy can take over from its original.
    """

    path: str
    size: int
    modified_ns: int
    changed_ns: int


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file as it is now.

    Raises:
        OSError: the file is not there.
    """
    found = path.stat()
    return Stamp(str(path.absolute()), found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@lru_cache(maxsize=64)
def sha256(stamp: Stamp) -> str:
    """SHA-256 of a file's content, read once while the file keeps its stamp."""
    with open(stamp.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
