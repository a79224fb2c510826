"""The contract of an executor, and the registry of executors: a file here, or an installed entry point."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable

from ....datasets.registry import Named, Registry
from ...suite.stack import Stack
from .base import Result, Settings, Task


class Executor(Named):
    """A place where stacks are trained. One file, one class, `@executors.register`; its fields are its parameters."""

    def results(
        self, tasks: Iterable[Task], settings: Settings, progress: Callable[[int], object]
    ) -> Generator[tuple[Stack, Result]]:
        """The results as they come, in any order and maybe in smaller stacks; tasks are taken as there is room.

        Args:
            progress: called with the number of runs' epochs that were trained.

        Raises:
            OSError, ValueError: as `run_stack` does.
        """
        raise NotImplementedError


executors: Registry[Executor] = Registry("executor", "rrrbench.benchmark.running.executors")
