"""Jobs of Slurm: the same records, nothing lost when a job, a node or the driver dies.

Submitit's local executor runs jobs as processes of this machine. Where a test asks what Slurm is told, and what follows
from what Slurm says, `sbatch` and `sacct` are scripts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from rrrbench.benchmark.running.executors import Settings, executors, slurm
from rrrbench.benchmark.running.executors.slurm import Slurm
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.suite.loading import load_suite
from rrrbench.datasets.registry import BadParameters
from test_executors import SUITE, assert_as_undisturbed, finished, measured, tasks, wait_for_a_run
from tiny import tiny_suite

pytest.importorskip("submitit")
SETTINGS = Settings(engine="stacked")


@pytest.fixture
def settings(tmp_path):
    return Settings(engine="stacked", home=tmp_path / "home")


def trainers() -> list[psutil.Process]:
    """The processes of jobs that the driver, this process, has started."""
    below = psutil.Process().children(recursive=True)
    return [child for child in below if "submitit.core._submit" in child.cmdline()]


class KillsAJob:
    """Progress that kills a job with signal 9 once it has trained a little; each job, if `always`."""

    def __init__(self, always: bool = False) -> None:
        self.always = always
        self.killed = 0
        self.reports: list[float] = []

    def __call__(self, done: float) -> None:
        self.reports.append(done)
        if done > 0 and (self.always or not self.killed):
            for job in trainers():
                job.kill()
                self.killed += 1


def folders(settings: Settings) -> list[Path]:
    assert settings.home is not None
    return list((settings.home / "jobs").glob("*"))


@pytest.mark.slow
def test_jobs_give_the_same_records_and_leave_no_file(settings):
    suite, epochs = tiny_suite(), []
    found = list(Slurm(workers=2, cluster="local").results(tasks(suite), settings, epochs.append))
    assert_as_undisturbed(measured(found), suite)
    assert sum(epochs) == sum(stack.epochs for stack in suite.stacks())
    assert not folders(settings)


@pytest.mark.slow
def test_a_killed_job_is_submitted_again(settings, monkeypatch):
    monkeypatch.setattr(slurm, "LATE_SECONDS", 1.0)
    monkeypatch.setattr(slurm, "TELL_SECONDS", 0.0)
    suite, killer = tiny_suite(epochs=400), KillsAJob()
    found = measured(Slurm(workers=1, cluster="local").results(tasks(suite), settings, killer))
    assert killer.killed == 1
    assert_as_undisturbed(found, suite)
    assert sum(killer.reports) == sum(stack.epochs for stack in suite.stacks())
