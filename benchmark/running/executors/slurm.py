"""On a Slurm cluster, through submitit: each stack is a job, which is submitted again when it dies."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import signal
import time
import traceback
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import PositiveInt, model_validator

from ....datasets.own_code import restore
from ...store.home import home as usual_home
from ...store.whole import write_whole
from ...suite.stack import Stack
from ..course import Progress
from ..device import Device, torch_device
from .base import Result, Settings, Task, divided, failed, run_stack
from .executor import Executor, executors

ATTEMPTS = 3
"""How often a stack is submitted before the jobs' deaths are put down to it."""
POLL_SECONDS, TELL_SECONDS = 1.0, 5.0
"""Seconds between two looks for results, and between two words of a job about its progress."""
LATE_SECONDS = 15.0
"""Seconds that a shared file system may take to show the result of a job that is over."""
ALIVE = {"PENDING", "CONFIGURING", "RUNNING", "COMPLETING", "SUSPENDED", "REQUEUED"}
"""States of jobs that a result may come from."""
REHEARSED_MINUTES = 60 * 24 * 365
"""The time limit of jobs of this machine; submitit's own is two minutes."""


@executors.register
class Slurm(Executor):
    """Trains stacks as jobs of a Slurm cluster, whose nodes see the folder of results.

    sbatch's own variables say which partition, account, time limit and memory: SBATCH_PARTITION, SBATCH_TIMELIMIT, …

    Attributes:
        workers: how many jobs are queued or run at once.
        cluster: `local` runs each job as a process of this machine, to rehearse without Slurm.

    Raises:
        ValueError: submitit or Slurm is not installed.
    """

    name: ClassVar[str] = "slurm"
    elsewhere: ClassVar[bool] = True
    workers: PositiveInt = 16
    cluster: Literal["slurm", "local"] = "slurm"

    @model_validator(mode="after")
    def _installed(self) -> Slurm:
        if find_spec("submitit") is None:
            raise ValueError("it needs submitit: pip install 'rrrbench[slurm]'")
        if self.cluster == "slurm" and shutil.which("srun") is None:
            raise ValueError("this machine has no srun: start it on a machine of a Slurm cluster")
        return self

    def results(self, tasks: Iterable[Task], settings: Settings, progress: Progress) -> Generator[tuple[Stack, Result]]:
        """As every executor; on the device `auto` a job trains on the GPU that it was given, else on a core.

        Jobs outlive a driver that is killed; the next driver takes their results.
        """
        own = replace(settings, choices=dict(settings.choices), home=None)
        pieces = divided(tasks, lambda: self.workers)
        jobs: list[_Job] = []
        done: list[tuple[_Job, Result]] = []
        ended = shown = 0.0
        try:
            while True:
                while len(jobs) < self.workers and (task := next(pieces, None)) is not None:
                    jobs.append(_Job(task, own, settings.home or usual_home(), self.cluster))
                while done:
                    yield done[0][0].task.stack, done[0][1]
                    done.pop(0)[0].forget()
                if not jobs:
                    return
                time.sleep(POLL_SECONDS)
                for job in list(jobs):
                    match job.answer():
                        case Exception() as error:
                            raise error
                        case Result() as result, choices:
                            settings.choices.update(choices)
                            done.append((job, result))
                            jobs.remove(job)
                            ended += job.task.work
                trained = ended + sum(job.progress() for job in jobs)
                progress(trained - shown)
                shown = trained
        finally:
            for job in (*jobs, *(job for job, _ in done)):
                job.forget()


class Refused(ValueError):
    """Slurm takes no job as it was asked for."""


class _Job:
    """A stack's job, submitted when it is made unless a job of an earlier driver still has the stack.

    Its files are a folder that is named by what is trained, so that the next driver finds it.
    """

    def __init__(self, task: Task, settings: Settings, home: Path, cluster: str) -> None:
        self.task, self.settings = task, settings
        self.folder = home / "jobs" / _name(task, settings)
        self._executor = _submitit(self.folder, cluster, settings.device)
        self._deaths = 0
        self._over_since: float | None = None
        self._job = self._of_an_earlier_driver() or self._submitted()

    def _of_an_earlier_driver(self) -> Any | None:
        submitted = sorted(self.folder.glob("*_submitted.pkl"), key=lambda path: path.stat().st_mtime)
        jobs = [self._executor.job_class(self.folder, path.name.removesuffix("_submitted.pkl")) for path in submitted]
        return next((job for job in reversed(jobs) if job.paths.result_pickle.exists() or job.state in ALIVE), None)

    def _submitted(self) -> Any:
        self._told.unlink(missing_ok=True)
        from submitit.core.utils import FailedJobError

        packed = pickle.dumps(self.task)  # a job can read it once it has the code of --with
        try:
            return self._executor.submit(_train, packed, self.settings, self._told, os.environ.get("RRRBENCH_DATA"))
        except FailedJobError as error:
            raise Refused(f"sbatch takes no job ({error}): do its variables, SBATCH_…, say what it wants?") from error

    @property
    def _told(self) -> Path:
        return self.folder / "progress"

    def progress(self) -> float:
        """How much of the task is done, as its job says it."""
        with suppress(OSError, ValueError):
            return float(self._told.read_text())
        return 0.0

    def answer(self) -> tuple[Result, Mapping[str, str]] | Exception | None:
        """What the job has come to, and the choices made; None while it is waited for, or submitted once more."""
        if self._job.paths.result_pickle.exists():
            try:
                return self._job.result()
            except RuntimeError as error:  # submitit's, with the job's traceback
                return self._died(str(error))
        if not self._job.done() and not self._job.state.startswith("PREEMPTED"):
            return None
        self._over_since = self._over_since or time.monotonic()
        if time.monotonic() < self._over_since + LATE_SECONDS:
            return None
        return self._died(f"its state is {self._job.state}; {self._job.stderr() or 'it wrote no log'}")

    def _died(self, reason: str) -> tuple[Result, Mapping[str, str]] | None:
        self._deaths += 1
        self._over_since = None
        if self._deaths == ATTEMPTS:
            return failed(self.task.stack, f"the job that trained this run died {ATTEMPTS} times: {reason}"), {}
        self._job.cancel(check=False)  # Slurm may queue a job again by itself
        self._job = self._submitted()
        return None

    def forget(self) -> None:
        """Cancels the job if it is not over, and removes its files."""
        if not self._job.paths.result_pickle.exists():
            self._job.cancel(check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def _name(task: Task, settings: Settings) -> str:
    """Of what is trained and kept, by which version."""
    what = [metadata.version("rrrbench"), str(settings.save_models), str(task.panel), *sorted(task.stack.places())]
    return hashlib.sha256("\n".join(what).encode()).hexdigest()[:32]


def _submitit(folder: Path, cluster: str, device: str) -> Any:
    """Submitit's executor, which says nothing that sbatch's variables may say."""
    import submitit

    if cluster == "local":
        executor = submitit.LocalExecutor(folder)
        executor.update_parameters(timeout_min=REHEARSED_MINUTES)
    else:
        executor = submitit.SlurmExecutor(folder)
        executor.update_parameters(job_name="rrrbench", time=None, **({"gpus_per_node": 1} if device == "cuda" else {}))
    return executor


def _train(
    packed: bytes, settings: Settings, told: Path, data_root: str | None
) -> tuple[Result, dict[str, str]] | Exception:
    """In a job, on a core or a GPU of a node; what it raises is its result, with its traceback."""
    if data_root is not None:
        os.environ["RRRBENCH_DATA"] = data_root
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # the end is near: Slurm's rules say what follows, not submitit's
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    try:
        restore(settings.own_code)
        task: Task = pickle.loads(packed)
        own = replace(settings, device=torch_device(cast(Device, settings.device)))
        return run_stack(task, own, _Teller(told)), dict(own.choices)
    except Exception as error:
        error.add_note(f"In a job of Slurm:\n{traceback.format_exc()}")
        return error


@dataclass
class _Teller:
    """Writes the progress of a task into a file, from time to time."""

    path: Path
    done: float = 0.0
    told_at: float = 0.0

    def __call__(self, done: float) -> None:
        self.done += done
        if time.monotonic() > self.told_at + TELL_SECONDS:
            self.told_at = time.monotonic()
            with suppress(OSError):  # nothing depends on it
                write_whole(self.path, str(self.done).encode())
