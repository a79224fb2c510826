"""The contract of an executor, and the registry of executors: a file here, or an installed entry point."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import ClassVar

from ....datasets.registry import Named, Registry
from ...suite.stack import Stack
from ..course import Progress
from .base import Result, Settings, Task


class Executor(Named):
    """A place where stacks are trained. One file, one class, `@executors.register`; its fields are its parameters.

    Attributes:
        elsewhere: True where other machines train, which may have other data, devices and speed than this machine.
    """

    elsewhere: ClassVar[bool] = False

    def side_by_side(self, device: str) -> int:
        """How many stacks are trained at once on this machine."""
        return 1

    def results(self, tasks: Iterable[Task], settings: Settings, progress: Progress) -> Generator[tuple[Stack, Result]]:
        """The results as they come, in any order and maybe in smaller stacks; tasks are taken as there is room.

        Args:
            progress: called with what was done since, as `run_stack`; all of a task's `work` in the end.

        Raises:
            OSError, ValueError: as `run_stack` does.
        """
        raise NotImplementedError


executors: Registry[Executor] = Registry("executor", "rrrbench.benchmark.running.executors")
