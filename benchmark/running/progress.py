"""Progress of a session: a bar on a terminal, lines in a log, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Timer
from typing import Any, Self

from tqdm import tqdm

LINE_SECONDS = 20.0
"""Seconds between two lines of a log."""
LONG = 2.0
"""Seconds after which a session names the work that has shown nothing so far."""
PRIOR_SHARE, PRIOR_SECONDS = 0.1, 30.0
"""How much work the expected pace counts for beside the measured pace: a share of all work, at most so many seconds."""


@contextmanager
def said_if_long(text: str, quiet: bool) -> Iterator[None]:
    """Says what is going on if the block takes longer than `LONG`, once."""
    timer = Timer(0.0 if quiet else LONG, (lambda: None) if quiet else partial(tqdm.write, text, file=sys.stderr))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Pace:
    """How much of the work is done, and the seconds that are left at the pace so far.

    The pace is that of the last moment when something was done: a long epoch that is on its way slows nothing.

    Args:
        total: of the work, in any unit.
        expected: seconds that the work is expected to take; None if nobody knows.
    """

    def __init__(self, total: float, expected: float | None = None) -> None:
        self.total, self.expected = total, expected
        self.done = 0.0
        self.begin = self._last = time.monotonic()

    def add(self, done: float) -> None:
        """More is done, or less: what was lost is done again."""
        self.done += done
        self._last = time.monotonic()

    @property
    def share(self) -> float:
        return min(1.0, max(0.0, self.done / self.total)) if self.total else 1.0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begin

    @property
    def left(self) -> float | None:
        """None until something is done, if nobody knows what is expected."""
        if not self.total:
            return 0.0
        work, seconds = self.done, self._last - self.begin
        if self.expected:
            prior = min(PRIOR_SHARE * self.total, PRIOR_SECONDS * self.total / self.expected)
            work, seconds = work + prior, seconds + prior * self.expected / self.total
        if work <= 0:
            return None
        return max(0.0, max(0.0, self.total - self.done) * seconds / work - (time.monotonic() - self._last))

    def in_words(self) -> str:
        """`1:02 so far, about 3:10 left`."""
        so_far = f"{tqdm.format_interval(self.elapsed)} so far"
        return so_far if self.left is None else f"{so_far}, about {tqdm.format_interval(self.left)} left"


class Progress:
    """Shows nothing."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def describe(self, words: str) -> None:
        """What is being done now."""

    def update(self, done: float) -> None:
        """More is done, or less: what was lost is done again."""
        self.pace.add(done)

    def close(self) -> None:
        """Nothing more will be shown."""


class Bar(Progress):
    """A bar on a terminal."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self._bar = _Tqdm(pace)

    def describe(self, words: str) -> None:
        self._bar.set_description_str(words)

    def update(self, done: float) -> None:
        super().update(done)
        self._bar.update(done)

    def close(self) -> None:
        self._bar.close()


class Lines(Progress):
    """A line from time to time, for files: without carriage returns."""

    def __init__(self, pace: Pace) -> None:
        super().__init__(pace)
        self._words = ""
        self._written = time.monotonic()

    def describe(self, words: str) -> None:
        first, self._words = not self._words, words
        self._write(always=first)

    def update(self, done: float) -> None:
        super().update(done)
        self._write()

    def close(self) -> None:
        if self._words:
            self._write(always=True)

    def _write(self, always: bool = False) -> None:
        now = time.monotonic()
        if always or now - self._written >= LINE_SECONDS:
            self._written = now
            sys.stderr.write(f"{self.pace.share:4.0%} {self._words}, {self.pace.in_words()}\n")
            sys.stderr.flush()


class _Tqdm(tqdm):
    """Shows what `Pace` says is left."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        bar = "{percentage:3.0f}%|{bar:24}| {desc} [{words}]"
        super().__init__(total=pace.total, bar_format=bar, mininterval=0.5, miniters=0)

    @property
    def format_dict(self) -> dict[str, Any]:
        return {**super().format_dict, "words": self.pace.in_words()}


def progress(pace: Pace, quiet: bool = False) -> Progress:
    """A bar where the error stream is a terminal, else lines; nothing if `quiet`."""
    if quiet or not pace.total:
        return Progress(pace)
    return Bar(pace) if sys.stderr.isatty() else Lines(pace)
