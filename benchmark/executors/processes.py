"""In processes of this machine: one a core with one thread each, or one a GPU.

A process that dies takes nothing with it but its own stack, which is tried again in a new one.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

import torch

from ..suite import Stack
from .base import Result, Settings, Task, failed, run_stack

ATTEMPTS = 3
"""How often a stack is given to a process before the processes' deaths are put down to it."""
_SPAWN = get_context("spawn")  # a fork would copy torch's threads in whatever state they are


class Processes:
    """Trains stacks side by side, each divided among the workers where there are fewer stacks than workers.

    Args:
        workers: None for one a core, or one a GPU.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers

    def results(
        self, tasks: Iterable[Task], settings: Settings, progress: Callable[[int], object]
    ) -> Iterator[tuple[Stack, Result]]:
        count = self.workers or (torch.cuda.device_count() if settings.device == "cuda" else os.cpu_count()) or 1
        pieces = (replace(task, stack=stack) for task in tasks for stack in task.stack.divided(count))
        deaths: Counter[str] = Counter()
        again: list[Task] = []
        workers = [_Worker(number, settings) for number in range(count)]
        try:
            while True:
                for worker in workers:
                    if worker.task is None and (task := again.pop() if again else next(pieces, None)) is not None:
                        worker.give(task)
                busy = {worker.connection: (worker, worker.task) for worker in workers if worker.task is not None}
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker, task = busy[connection]  # pyrefly: ignore
                    try:
                        message = worker.connection.recv()
                    except (EOFError, ConnectionResetError):
                        key = next(iter(task.stack.places()))
                        deaths[key] += 1
                        code = worker.end()
                        workers[worker.number] = _Worker(worker.number, settings)
                        if deaths[key] < ATTEMPTS:
                            again.append(task)
                        else:
                            yield task.stack, failed(task.stack, _obituary(code))
                        continue
                    match message:
                        case int():
                            progress(message)
                        case Exception():
                            raise message
                        case result, choices:
                            settings.choices.update(choices)
                            worker.task = None
                            yield task.stack, result
        finally:
            for worker in workers:
                worker.end()


class _Worker:
    """A process and this side of the pipe to it."""

    def __init__(self, number: int, settings: Settings) -> None:
        self.number = number
        self.task: Task | None = None
        self.connection, theirs = _SPAWN.Pipe()
        device = f"cuda:{number % torch.cuda.device_count()}" if settings.device == "cuda" else settings.device
        own = replace(settings, device=device, choices=dict(settings.choices))
        self.process = _SPAWN.Process(target=_work, args=(theirs, own), name=f"rrrbench worker {number}", daemon=True)
        self.process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        self.task = task
        self.connection.send(task)

    def end(self) -> int | None:
        """Ends the process, if it still lives; its exit code."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _work(connection: Connection, settings: Settings) -> None:
    """Trains what comes through the pipe, until the other side closes it or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends its workers
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)

    def report(message: object) -> None:
        try:
            connection.send(message)
        except BrokenPipeError:
            os._exit(1)  # the driver is gone, and nobody would take the result

    with suppress(EOFError, ConnectionResetError):
        while True:
            task = connection.recv()
            try:
                report((run_stack(task, settings, report), dict(settings.choices)))
            except (OSError, ValueError) as error:
                report(error)


def _obituary(code: int | None) -> str:
    reason = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    return (
        f"the process that trained this run ended by {reason}, {ATTEMPTS} times: "
        "is there enough memory? --workers takes fewer processes"
    )
