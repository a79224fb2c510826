"""In this process, one stack after another."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import ClassVar

from ...suite.stack import Stack
from ..course import Progress
from .base import Result, Settings, Task, run_stack
from .executor import Executor, executors


@executors.register
class Here(Executor):
    """Trains each stack in this process, a stack after another."""

    name: ClassVar[str] = "here"

    def results(self, tasks: Iterable[Task], settings: Settings, progress: Progress) -> Generator[tuple[Stack, Result]]:
        for task in tasks:
            yield task.stack, run_stack(task, settings, progress)
