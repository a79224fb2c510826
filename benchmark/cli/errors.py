"""How errors and interruptions are said on a terminal."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer

LONGEST = 120
"""Characters of a path in a message."""
WAYS_OUT = {
    errno.ENOENT: "look at the path",
    errno.EISDIR: "it is a folder, name a file",
    errno.ENOTDIR: "a part of the path is a file, name a folder",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its links lead in a circle, name the file itself",
    errno.EACCES: "it may not be read or written, change its rights or take another path",
    errno.EPERM: "it may not be read or written, change its rights or take another path",
    errno.EROFS: "nothing can be written there, take another path",
    errno.ENOSPC: "the disk is full, make room or take another path",
    errno.EEXIST: "remove it, or take another path",
}
INTERRUPTED = 130
"""The exit status of a command that Ctrl-C ended: 128 and the number of SIGINT."""


@contextmanager
def explained() -> Iterator[None]:
    """Errors that a user can mend become one message and exit status 2; others keep their traceback.

    Ctrl-C ends the command with status 130, and a second Ctrl-C at once, while the first is still being tidied up.
    """
    with _ended_by_a_second_ctrl_c():
        try:
            yield
        except (ValueError, LookupError, OSError) as error:
            typer.secho(f"error: {_message(error)}", fg="red", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.secho("\ninterrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _ended_by_a_second_ctrl_c() -> Iterator[None]:
    """Records are whole files, so that nothing that was finished is lost."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def end(number: int, frame: FrameType | None) -> None:
        os.write(2, b"\nended at once; every finished run is kept\n")
        os._exit(INTERRUPTED)

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal before
        before = end  # until the process is gone
        signal.signal(signal.SIGINT, end)
        raise KeyboardInterrupt

    if before is not signal.default_int_handler:  # of a host program, or of a command around this
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _message(error: Exception) -> object:
    """The error's own words; of an operating system's error its file, what it says, and the way out."""
    if isinstance(error, OSError) and error.errno in WAYS_OUT and error.filename is not None:
        path = shortened(os.fsdecode(error.filename))
        return f"{path!r}: {os.strerror(error.errno)}: {WAYS_OUT[error.errno]}"
    return error.args[0] if isinstance(error, KeyError) else error


def shortened(path: str) -> str:
    """A path as a message has it."""
    return path if len(path) <= LONGEST else f"{path[:LONGEST]}…"
