"""Checks a submission in a process of its own: holds its file to the laws, and measures it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...datasets.own_code import Refused
from ..ranking.inert import one_line
from ..running.executors import Settings, executors
from ..running.forecast import Forecast
from .file_laws import Checked, held
from .own_process import Limit, Teller, end, events_of
from .submission import Measured, Row, load

Tell = Callable[[Checked], object]
Announce = Callable[[list[str], list[str]], object]
"""Is given the lines of the forecast and the keys of all runs, before anything is trained."""


@dataclass(frozen=True)
class How:
    """Where a submission is measured; changes no number.

    Attributes:
        device: as torch names it.
        executor: as `executors.resolve` takes it.
    """

    device: str = "cpu"
    executor: dict[str, Any] = field(default_factory=lambda: {"name": "here"})


def measure(
    path: Path,
    home: Path,
    minutes: float,
    tell: Tell,
    env: Mapping[str, str] | None = None,
    how: How | None = None,
    announce: Announce = lambda lines, keys: None,
) -> Measured:
    """Holds the file to the laws and measures it, in a process of its own that is killed with all that it started.

    Args:
        home: the folder of results; runs that are finished there are not trained again.
        minutes: after so many the file is refused.
        tell: is given each law that was checked.
        env: the process's environment; this one's if not given.
        how: in the process itself, on the CPU, if not given.
        announce: is given what it will cost.

    Raises:
        Refused: the file breaks a law, raises, takes too long, or ends or kills its process.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()  # before the file can change itself
    limit = Limit(60 * minutes, f"{minutes:g} minutes", "--max-minutes", "measured")
    words = [str(home.absolute()), json.dumps(asdict(how or How()))]
    with events_of(__name__, path, words, limit, env) as events:
        for event in events:
            if "checked" in event:
                tell(Checked(*map(str, event["checked"])))
            elif "forecast" in event:
                announce([one_line(str(line)) for line in event["forecast"]], [str(key) for key in event["keys"]])
            elif "row" in event:
                row = Row.model_validate({**event["row"], "sha256": digest})
                return Measured(row, [dict(beside) for beside in event["beside"]])
    raise AssertionError("events end with a row or an error")


def _check(path: Path, events: Path, home: Path, how: How) -> None:
    """In the process of its own: writes a line for each law, then the row or why there is none."""
    teller = Teller(path, events)

    def check() -> None:
        submitted, broken = load(path), 0
        suite = submitted.suite()

        def announce(forecast: Forecast) -> None:
            teller.tell(begun="its training", forecast=list(forecast.lines()), keys=suite.keys())
            teller.wait()  # else the progress of the training stands above what it will cost

        for checked in held(submitted.file, teller.begin):
            teller.checked(checked)
            broken += bool(checked.problem)
        if broken:
            raise Refused(f"{path} breaks {broken} laws (docs/design.md says what the laws are): nothing was trained")
        where = executors.resolve(how.executor)
        measured = submitted.measured(home, Settings(how.device), where, announce)
        teller.tell(row=measured.row.model_dump(mode="json"), beside=measured.beside)

    teller.run(check)


if __name__ == "__main__":
    _, file, told, folder, given = sys.argv
    _check(Path(file), Path(told), Path(folder), How(**json.loads(given)))
    end()
