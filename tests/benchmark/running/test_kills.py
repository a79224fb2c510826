"""A driver killed at any moment leaves a folder in which the same command goes on, without a hand."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from rrrbench.benchmark.store.frames import IDENTITY, flat
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.store.server import tracking_uri
from rrrbench.benchmark.suite.loading import load_suite

pytestmark = pytest.mark.slow
SUITE = """
description = "eighteen runs"
seeds = [0, 1, 2]
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "mlp", hidden = [8] }
training = { epochs = 4, batch_size = 64 }
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.1, 1.0, 10.0]
[[sweeps.mitigations]]
mitigation = "find_another_explanation"
strengths = [0.1, 1.0]
"""
COMMAND = [Path(sys.executable).parent / "rrrbench", "run", "killed.toml", "--engine", "stacked", "--device", "cpu"]
KILLS = 10
"""Of each kind: forty in all."""
MEASURED_TIME = ["seconds", "seconds/setup"]


def start(folder: Path) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "RRRBENCH"))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(COMMAND, cwd=folder, env=environment, start_new_session=True, **pipes)


def kill(driver: subprocess.Popen) -> bool:
    """Whether it was still at work."""
    at_work = driver.poll() is None
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    return at_work


def wait_for(happened: Callable[[], bool], driver: subprocess.Popen) -> None:
    while not happened() and driver.poll() is None:
        time.sleep(0.002)


def at_any_moment(folder: Path, driver: subprocess.Popen, rng: random.Random) -> None:
    deadline = time.monotonic() + rng.uniform(0, 16)
    wait_for(lambda: time.monotonic() > deadline, driver)


def while_the_database_is_made(folder: Path, driver: subprocess.Popen, rng: random.Random) -> None:
    known = set(folder.glob("results/local/.mlflow-*"))
    wait_for(lambda: bool(set(folder.glob("results/local/.mlflow-*")) - known), driver)
    time.sleep(rng.uniform(0, 1))


def in_a_commit(folder: Path, driver: subprocess.Popen, rng: random.Random) -> None:
    """While a journal is there, sqlite is between the first page of a commit and its last."""
    time.sleep(rng.uniform(0, 1))
    wait_for((folder / "results/local/mlflow.db-journal").exists, driver)


def measured(records) -> pd.DataFrame:
    rows = flat(records).set_index("run_key").sort_index()
    return rows.drop(columns=[*MEASURED_TIME, *(set(IDENTITY) - {"run_key", "status"})])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "killed.toml"
    path.write_text(SUITE)
    results = [run_stack(Task(stack), Settings(engine="stacked")) for stack in load_suite(str(path)).stacks()]
    return measured([record for result in results for record in result.records])


def assert_whole(folder: Path, undisturbed: pd.DataFrame) -> None:
    home = folder / "results/local"
    store, keys = RecordStore(home), load_suite(str(folder / "killed.toml")).keys()
    # a sweep that is resumed trains smaller stacks, whose sums are in another order
    pd.testing.assert_frame_equal(measured(store.all(keys)), undisturbed, rtol=1e-4, atol=1e-4, check_like=True)
    logged = Mirror(tracking_uri(home), "killed", store).search("tags.kind = 'run'")
    assert sorted(run.data.tags["run_key"] for run in logged) == sorted(keys)
    assert not list(home.glob("unreadable/*"))


@pytest.mark.parametrize(
    ("moment", "seed"),
    [
        pytest.param(at_any_moment, 0, marks=pytest.mark.faults),
        (at_any_moment, 1),
        (while_the_database_is_made, 2),
        pytest.param(in_a_commit, 3, marks=pytest.mark.faults),
    ],
)
def test_kill_9_and_the_same_command_again(tmp_path, monkeypatch, undisturbed, moment, seed):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    rng, done, folders = random.Random(seed), 0, 0
    while done < KILLS:
        folder = tmp_path / f"folder {folders}"
        folder.mkdir(exist_ok=True)
        (folder / "killed.toml").write_text(SUITE)
        driver = start(folder)
        moment(folder, driver, rng)
        if kill(driver):
            done += 1
        else:  # it was finished: the next kills are in a new folder
            assert_whole(folder, undisturbed)
            folders += 1
    for folder in tmp_path.glob("folder *"):
        driver = start(folder)
        output, errors = driver.communicate(timeout=300)
        assert driver.returncode == 0, errors.decode()
        assert "18 of 18 runs recorded" in output.decode()
        assert "Traceback" not in errors.decode()
        assert_whole(folder, undisturbed)
