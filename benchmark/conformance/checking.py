"""Holds a file to its laws in a process of its own, which is killed if it does not end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ..ranking.inert import one_line
from .file_laws import Checked, checked
from .own_process import Limit, Teller, end, events_of


def watched(path: Path, seconds: float, warn: Callable[[str], object] = lambda message: None) -> Iterator[Checked]:
    """Every law of everything that the file registers, as soon as it is checked.

    Args:
        seconds: after so many the file is refused.
        warn: is given errors that hold nothing up, such as those of threads.

    Raises:
        Refused: the file registers nothing, cannot be imported, takes too long, or ends or kills its process.
    """
    limit = Limit(seconds, f"{seconds:g} s", "--max-seconds", "checked")
    with events_of(__name__, path, (), limit) as events:
        for event in events:
            if "checked" in event:
                yield Checked(*map(str, event["checked"]))
            elif "warning" in event:
                warn(one_line(str(event["warning"])))
            elif "done" in event:
                return


def _check(path: Path, events: Path) -> None:
    """In the process of its own."""
    teller = Teller(path, events)

    def check() -> None:
        for law in checked(path, teller.begin):
            teller.checked(law)
        teller.tell(done=True)

    teller.run(check)


if __name__ == "__main__":
    _, file, told = sys.argv
    _check(Path(file), Path(told))
    end()
