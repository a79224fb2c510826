"""Which records a tracking server was given from this folder: so that it need not be asked about all of them again."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class Delivered:
    """A file with a line a record, for one experiment of one server.

    Lost or unreadable, it is made again by asking the server. If it cannot be written, the server is
    asked each time.

    Args:
        anew: forgets what the file says.
    """

    def __init__(self, path: Path, anew: bool = False) -> None:
        self.path = path
        self._records: set[str] = set()
        with suppress(OSError):
            if anew:
                path.unlink(missing_ok=True)
            elif path.is_file():
                self._records = set(path.read_text(errors="replace").splitlines())

    def __contains__(self, record: object) -> bool:
        return record in self._records

    def add(self, records: Iterable[str]) -> None:
        """Notes records that the server has."""
        new = [record for record in records if record not in self._records]
        self._records.update(new)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as lines:
                lines.write("".join(f"{record}\n" for record in new))
