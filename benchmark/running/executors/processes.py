"""In processes of this machine: one a core with one thread each, or one a GPU.

A process that dies takes nothing with it but its own stack, which is tried again in a new one.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import ClassVar

import joblib
import torch
from pydantic import PositiveInt

from ....datasets.own_code import restore
from ...engine.memory import free_memory
from ...suite.stack import Stack
from ..course import Progress
from ..main_module import main_module_left_alone
from .base import Result, Settings, Task, divided, failed, run_stack
from .executor import Executor, executors

ATTEMPTS = 3
"""How often a stack is given to a process before the processes' deaths are put down to it."""
_SPAWN = get_context("spawn")  # a fork would copy torch's threads in whatever state they are


@executors.register
class Processes(Executor):
    """Trains stacks side by side in processes of this machine.

    Stacks are divided among the workers where too few are left to keep all of them busy.

    Attributes:
        workers: how many processes; None for a process a core, or a process a GPU.
    """

    name: ClassVar[str] = "processes"
    workers: PositiveInt | None = None

    def side_by_side(self, device: str) -> int:
        return self.workers or (torch.cuda.device_count() if device == "cuda" else joblib.cpu_count())

    def results(self, tasks: Iterable[Task], settings: Settings, progress: Progress) -> Generator[tuple[Stack, Result]]:
        count = self.side_by_side(settings.device)
        pieces = divided(tasks, lambda: count)
        places = placed(count, settings)
        again: list[Task] = []
        done: list[tuple[Stack, Result]] = []
        deaths: Counter[str] = Counter()
        idle: list[_Worker] = []
        busy: dict[Connection, _Worker] = {}
        try:
            while True:
                while len(busy) < count and (task := again.pop() if again else next(pieces, None)) is not None:
                    worker = idle.pop() if idle else _Worker(places.pop(0), settings.choices)
                    worker.give(task)
                    busy[worker.connection] = worker
                yield from done  # after the workers have got their next tasks: recording takes time
                done.clear()
                if not busy:
                    return
                for connection in wait(list(busy)):
                    worker = busy[connection]  # pyrefly: ignore
                    match worker.message():
                        case int() | float() as done_since:
                            worker.progress += done_since
                            progress(done_since)
                        case Exception() as error:
                            raise error
                        case result, choices:
                            settings.choices.update(choices)
                            idle.append(busy.pop(worker.connection))
                            done.append((worker.task.stack, result))
                        case None:
                            del busy[worker.connection]
                            code = worker.end()
                            places.append(worker.settings)
                            progress(-worker.progress)
                            deaths[worker.task.key] += 1
                            if deaths[worker.task.key] < ATTEMPTS:
                                again.append(worker.task)
                            else:
                                progress(worker.task.work)
                                done.append((worker.task.stack, failed(worker.task.stack, _obituary(code))))
        finally:
            for worker in (*idle, *busy.values()):
                worker.end()


class _Worker:
    """A process and this side of the pipe to it.

    Attributes:
        settings: with its own device.
        task: what it trains or trained last.
        progress: of that, told so far.
    """

    task: Task
    progress: float

    def __init__(self, place: Settings, choices: Mapping[str, str]) -> None:
        self.settings = place
        self.connection, theirs = _SPAWN.Pipe()
        own = replace(place, choices=dict(choices))
        self.process = _SPAWN.Process(target=_work, args=(theirs, own), name="rrrbench worker", daemon=True)
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = "1"  # read by BLAS libraries when they are imported
        try:
            with main_module_left_alone():
                self.process.start()
        finally:
            theirs.close()
            del os.environ["OMP_NUM_THREADS"]
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before

    def give(self, task: Task) -> None:
        self.task, self.progress = task, 0.0
        with suppress(OSError):  # it is dead: reading from it will say so
            self.connection.send(task)

    def message(self) -> object:
        """What it says: progress, an exception, or a result and the choices made; None if it is dead."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):  # it may die in the middle of a message
            return None

    def end(self) -> int | None:
        """Ends the process, if it still lives; its exit code."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def placed(count: int, settings: Settings) -> list[Settings]:
    """The settings of each of `count` workers: its device, and how many workers share the free memory of that device.

    Each worker in turn gets the GPU with the fewest workers, of these the GPU with the most free memory. A GPU with
    less than a tenth of the free memory of another is full, and gets none.
    """
    if settings.device != "cuda":
        return [settings] * count
    with main_module_left_alone(), ProcessPoolExecutor(1, _SPAWN) as child:  # who asks takes memory of every GPU
        free = child.submit(free_by_gpu).result()
    usable = [gpu for gpu, own in enumerate(free) if own >= max(free) / 10]
    gpus: list[int] = []
    for _ in range(count):
        gpus.append(min(usable, key=lambda gpu: (gpus.count(gpu), -free[gpu])))
    return [replace(settings, device=f"cuda:{gpu}", sharers=gpus.count(gpu)) for gpu in gpus]


def free_by_gpu() -> list[int]:
    """Free bytes of each GPU."""
    return [free_memory(torch.device("cuda", gpu)) for gpu in range(torch.cuda.device_count())]


def _work(connection: Connection, settings: Settings) -> None:
    """Trains what comes through the pipe, for as long as the driver lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which ends its workers
    threading.Thread(target=_die_with_driver, daemon=True).start()
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    restore(settings.own_code)
    with suppress(EOFError, OSError):  # the driver is gone
        while True:
            task = connection.recv()
            try:
                message = run_stack(task, settings, connection.send), dict(settings.choices)
            except Exception as error:
                error.add_note(f"In a worker process:\n{traceback.format_exc()}")
                message = error
            connection.send(message)


def _die_with_driver() -> None:
    driver = parent_process()
    if driver is not None:
        driver.join()
    os._exit(1)


def _obituary(code: int | None) -> str:
    reason = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
    return (
        f"the process that trained this run ended by {reason}, {ATTEMPTS} times: "
        "is there enough memory? --workers takes fewer processes"
    )
