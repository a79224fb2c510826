"""In this process, one stack after another."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from ...suite.stack import Stack
from .base import Result, Settings, Task, run_stack


class Here:
    """Trains each stack in the process that asks."""

    def results(
        self, tasks: Iterable[Task], settings: Settings, progress: Callable[[int], object]
    ) -> Generator[tuple[Stack, Result]]:
        for task in tasks:
            yield task.stack, run_stack(task, settings, progress)
