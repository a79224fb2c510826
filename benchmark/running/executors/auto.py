"""In this process or in a process a core: the session decides, from its forecast."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import ClassVar

from ...suite.stack import Stack
from ..course import Progress
from .base import Result, Settings, Task
from .executor import Executor, executors
from .here import Here


@executors.register
class Auto(Executor):
    """Trains in this process, or in a process a core where the forecast says that this is faster."""

    name: ClassVar[str] = "auto"

    def results(self, tasks: Iterable[Task], settings: Settings, progress: Progress) -> Generator[tuple[Stack, Result]]:
        """As in this process: nobody has decided."""
        yield from Here().results(tasks, settings, progress)
