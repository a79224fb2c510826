"""Checks a submission in a process of its own: it is a stranger's code, which may exit, hang or kill its process.

The process keeps an accident from the checker. It is no sandbox: the file runs with the rights of whoever checks it.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...datasets.own_code import Refused
from ..ranking.inert import one_line
from ..running.executors import Settings, executors
from ..running.forecast import Forecast
from .file_laws import Checked, held
from .submission import Measured, Row, load

POLL_SECONDS = 0.2
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
    with TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        events.touch()
        with _child(path, events, home, env, how or How()) as child:
            for event in _followed(child, events, path, minutes):
                if "checked" in event:
                    tell(Checked(*map(str, event["checked"])))
                elif "refused" in event:
                    raise Refused(str(event["refused"]))
                elif "forecast" in event:
                    announce([one_line(str(line)) for line in event["forecast"]], [str(key) for key in event["keys"]])
                elif "row" in event:
                    row = Row.model_validate({**event["row"], "sha256": digest})
                    return Measured(row, [dict(beside) for beside in event["beside"]])
            raise Refused(f"{path} {_ending(child.returncode)} before it was measured: remove what ends the process")


@contextmanager
def _child(
    path: Path, events: Path, home: Path, env: Mapping[str, str] | None, how: How
) -> Iterator[subprocess.Popen[bytes]]:
    """The process that checks, in a session of its own; at the end of the block it is killed with its children."""
    places = [str(place.absolute()) for place in (path, events, home)]
    words = [sys.executable, "-P", "-m", __name__, *places, json.dumps(asdict(how))]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True, env=env)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _followed(child: subprocess.Popen[bytes], events: Path, path: Path, minutes: float) -> Iterator[dict[str, Any]]:
    """What the process writes, until it ends.

    Raises:
        Refused: it takes too long, or writes something else.
    """
    deadline, told = time.monotonic() + 60 * minutes, 0
    while True:
        ended = child.poll() is not None
        content = events.read_bytes()
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        for line in lines[told:]:
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise Refused(f"{path} writes into its check: it is not measured") from error
        told = len(lines)
        if ended:
            return
        if time.monotonic() > deadline:
            raise Refused(
                f"{path} was not measured within {minutes:g} minutes: it hangs, or allow more with --max-minutes"
            )
        time.sleep(POLL_SECONDS)


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by signal {-status}"
    return f"ended its process with status {status}"


def _check(path: Path, events: Path, home: Path, how: How) -> None:
    """In the process of its own: writes a line for each law, then the row or why there is none."""

    def tell(**event: Any) -> None:
        with events.open("a") as lines:
            lines.write(json.dumps(event) + "\n")

    try:

        def announce(forecast: Forecast) -> None:
            tell(forecast=list(forecast.lines()), keys=suite.keys())

        submitted, broken = load(path), 0
        suite = submitted.suite()
        for checked in held(submitted.file):
            tell(checked=checked)
            broken += bool(checked.problem)
        if broken:
            raise Refused(f"{path} breaks {broken} laws (docs/design.md says what the laws are): nothing was trained")
        where = executors.resolve(how.executor)
        measured = submitted.measured(home, Settings(how.device), where, announce)
        tell(row=measured.row.model_dump(mode="json"), beside=measured.beside)
    except (Refused, OSError) as error:
        tell(refused=str(error))
    except SystemExit as error:
        tell(refused=f"{path} calls sys.exit({error.code!r}): remove it, for it would end the check")
    except BaseException as error:
        traceback.print_exc()
        tell(refused=f"{path} raises {type(error).__name__}: {str(error)[:500]}")


if __name__ == "__main__":
    _, file, told, folder, given = sys.argv
    _check(Path(file), Path(told), Path(folder), How(**json.loads(given)))
