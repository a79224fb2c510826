"""Runs a check in a process of its own: it imports somebody's file, which may exit, hang or kill its process.

The process keeps an accident from the checker. It is no sandbox: the file runs with the rights of whoever checks it,
and a process that the file puts into a session of its own goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...datasets.own_code import Refused
from .file_laws import Checked, Entry
from .place import place_in

POLL_SECONDS, PAUSE = 0.2, 0.05
"""Between two looks of the process that waits for events, and of the one that waits for them to be read."""
Events = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Limit:
    """How long a check may take.

    Attributes:
        seconds: afterwards the file is refused.
        said: the limit in the words of the option that sets it.
        option: of the command line, which allows more.
        aim: what is to be done within the limit.
    """

    seconds: float
    said: str
    option: str
    aim: str


@contextmanager
def events_of(
    module: str, path: Path, words: Sequence[str], limit: Limit, env: Mapping[str, str] | None = None
) -> Iterator[Events]:
    """What a module's process tells, as it tells it; at the end of the block it is killed with all that it started.

    Args:
        module: is run as `python -m MODULE FILE EVENTS *WORDS`, and writes by a `Teller` into EVENTS.
        env: the process's environment; this one's if not given.

    Raises:
        Refused: from the events, where the process says so, ends before it was asked to, or takes too long.
    """
    with TemporaryDirectory() as folder:
        events = Path(folder) / "events"
        events.touch()
        with _child([module, str(path), str(events), *words], env) as child:
            yield _until_the_end(child, events, path, limit)


@contextmanager
def _child(words: Sequence[str], env: Mapping[str, str] | None) -> Iterator[subprocess.Popen[bytes]]:
    """The process, in a session of its own; at the end of the block its process group is killed."""
    command = [sys.executable, "-P", "-m", *words]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, env=env)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _until_the_end(child: subprocess.Popen[bytes], events: Path, path: Path, limit: Limit) -> Events:
    """The events of the process, until it ends or their reader asks for no more.

    Raises:
        Refused: the process ends too early, takes too long, says that the file is refused, or writes something else.
    """
    deadline, told, where = time.monotonic() + limit.seconds, 0, ""
    while True:
        ended = child.poll() is not None
        content = events.read_bytes()
        lines = content[: content.rfind(b"\n") + 1].splitlines()
        for event in _parsed(lines[told:], path):
            where = f", in {event['begun']}" if "begun" in event else where
            yield event
        if len(lines) > told:
            _read_so_far(events).write_text(str(content.rfind(b"\n") + 1))
        told = len(lines)
        if ended:
            way_out = f"remove what ends the process{_hint(child)}"
            raise Refused(f"{path} {_ending(child.returncode)} before it was {limit.aim}{where}: {way_out}")
        if time.monotonic() > deadline:
            raise Refused(
                f"{path} was not {limit.aim} within {limit.said}{where}: look for a loop without an end or a long "
                f"computation, or allow more with {limit.option}"
            )
        time.sleep(POLL_SECONDS)


def _read_so_far(events: Path) -> Path:
    """The file that says how many bytes of the events were read and acted on."""
    return events.with_name("read")


def _parsed(lines: Sequence[bytes], path: Path) -> Events:
    for line in lines:
        try:
            event = dict(json.loads(line))
        except (ValueError, TypeError) as error:
            raise Refused(f"{path} writes into its check: remove what writes there") from error
        if "refused" in event:
            raise Refused(str(event["refused"]))
        yield event


def _ending(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was killed by signal {-status}"
    return f"ended its process with status {status}"


def _hint(child: subprocess.Popen[bytes]) -> str:
    return ", or use less memory" if child.returncode == -signal.SIGKILL else ""


class Teller:
    """In the process of its own: writes events for the process that waits for them."""

    def __init__(self, path: Path, events: Path) -> None:
        self.path, self.events = path, events

    def tell(self, **event: Any) -> None:
        with self.events.open("a") as lines:
            lines.write(json.dumps(event) + "\n")

    def wait(self) -> None:
        """Waits until the other process has read and acted on every event so far, for example shown the forecast."""
        told, answer = self.events.stat().st_size, _read_so_far(self.events)
        while not answer.exists() or int(answer.read_text() or 0) < told:
            time.sleep(PAUSE)

    def begin(self, entry: Entry, law: str) -> None:
        """Tells what the process does, so that its end can be explained."""
        self.tell(begun=f"law {law!r} of {entry.kind} {entry.id}")

    def checked(self, checked: Checked) -> None:
        self.tell(checked=checked)

    def run(self, check: Callable[[], None]) -> None:
        """Calls the check, and tells why it could not end; ends with the process that waits for it."""
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        self._tell_what_python_prints()
        try:
            check()
        except (Refused, OSError) as error:
            self.tell(refused=str(error))
        except SystemExit as error:
            self.tell(refused=f"{self.path} calls sys.exit({error.code!r}): remove it, for it would end the check")
        except BaseException as error:
            said = f"{type(error).__name__}: {str(error)[:500]}{place_in(error, self.path)}"
            self.tell(refused=f"{self.path} raises {said}: mend it")

    def _tell_what_python_prints(self) -> None:
        """Errors of threads and of `__del__` become warnings in a line: Python prints their traceback and goes on."""

        def warn(kind: type[BaseException], error: BaseException | None, where: str) -> None:
            self.tell(warning=f"{self.path} raises {kind.__name__} in {where}{place_in(error, self.path)}: {error}")

        sys.unraisablehook = lambda seen: warn(
            seen.exc_type, seen.exc_value, getattr(seen.object, "__qualname__", "a finaliser")
        )
        threading.excepthook = lambda seen: warn(seen.exc_type, seen.exc_value, "a thread")


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent, which may be killed before it can end this one."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def end() -> None:
    """Ends this process now: it waits for no thread and calls no exit function of the file."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(ValueError, OSError, AttributeError):  # the file may have closed it
            stream.flush()
    os._exit(0)
