"""Whichever executor trains: the same records, nothing lost when a process dies, nothing logged twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from conftest import tiny_suite
from rrrbench.benchmark.executors import Settings, Task, processes, run_stack
from rrrbench.benchmark.executors.cluster import Cluster
from rrrbench.benchmark.executors.here import Here
from rrrbench.benchmark.executors.processes import Processes
from rrrbench.benchmark.session import Session
from rrrbench.benchmark.suite import load_suite
from rrrbench.benchmark.tracking import finished_keys


def measured(outcomes) -> pd.DataFrame:
    """One row a run, without what no two trainings share: the time they took."""
    records = [record for _, result in outcomes for record in result.records]
    rows = pd.DataFrame([{"key": r.run_key, "status": r.status, **r.metrics} for r in records])
    return rows.set_index("key").sort_index().drop(columns="seconds")


def tasks(suite):
    return [Task(stack) for stack in suite.stacks()]


def assert_as_undisturbed(found: pd.DataFrame, suite) -> None:
    expected = measured(Here().results(tasks(suite), Settings(engine="stacked"), int))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-4, check_like=True)


def kill_a_worker_soon(pattern: str, seconds: float = 30) -> threading.Thread:
    """Waits for a child that is at work and kills it, as the kernel does when memory is short."""

    def kill() -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for child in psutil.Process().children(recursive=True):
                if pattern in " ".join(child.cmdline()) and sum(child.cpu_times()[:2]) > 5:
                    child.send_signal(signal.SIGKILL)
                    return
            time.sleep(0.05)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_stacks_are_divided_by_seeds_and_then_by_strengths():
    (_, rrr) = tiny_suite(seeds=(0, 1, 2)).stacks()
    assert [(s.seeds, s.strengths) for s in rrr.divided(2)] == [((0, 1), (0.1, 1.0)), ((2,), (0.1, 1.0))]
    assert [len(s) for s in rrr.divided(6)] == [1] * 6
    assert {key for s in rrr.divided(4) for key in s.places()} == set(rrr.places())


@pytest.mark.slow
def test_processes_give_the_same_records():
    suite, epochs = tiny_suite(), []
    found = measured(Processes(2).results(tasks(suite), Settings(engine="stacked"), epochs.append))
    assert_as_undisturbed(found, suite)
    assert sum(epochs) == sum(stack.epochs for stack in suite.stacks())


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time():
    suite = tiny_suite(epochs=150)
    killer = kill_a_worker_soon("multiprocessing.spawn")
    found = measured(Processes(1).results(tasks(suite), Settings(engine="stacked"), int))
    killer.join()
    assert_as_undisturbed(found, suite)


@pytest.mark.slow
def test_a_stack_that_always_kills_its_worker_fails_alone(monkeypatch):
    monkeypatch.setattr(processes, "ATTEMPTS", 1)
    suite = tiny_suite(epochs=150)
    killer = kill_a_worker_soon("multiprocessing.spawn")
    found = measured(Processes(1).results(tasks(suite), Settings(engine="stacked"), int))
    killer.join()
    assert sorted(found.status) == ["failed"] * 2 + ["finished"] * 4


@pytest.mark.slow
def test_an_error_of_the_data_reaches_the_driver(tmp_path):
    suite = tiny_suite(dataset={"name": "decoy", "base": f"npz:{tmp_path / 'absent.npz'}"})
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        list(Processes(1).results(tasks(suite), Settings(), int))
    assert not [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]


SUITE = """
seeds = [0, 1]
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "mlp", hidden = [8] }
training = { epochs = 60, batch_size = 32 }
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.1, 1.0]
"""


@pytest.mark.slow
def test_a_killed_driver_takes_its_workers_with_it_and_the_next_one_goes_on(uri, tmp_path):
    path = tmp_path / "killed.toml"
    path.write_text(SUITE)
    suite = load_suite(str(path))
    command = [Path(sys.executable).parent / "rrrbench", "run", path, "--executor", "processes", "--workers", "1"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    driver = psutil.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not finished_keys(uri) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    workers = driver.children(recursive=True)
    driver.kill()
    driver.wait()
    assert workers
    assert not psutil.wait_procs(workers, timeout=30)[1]
    assert 0 < len(finished_keys(uri)) < len(suite.keys())

    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    session = Session(suite, uri, local=tmp_path / "results" / "local")
    rows = session.tracker.records(suite.keys())
    assert list(rows.run_key) == suite.keys()
    assert len(session.tracker._search("tags.kind = 'run'", limit=None)) == len(suite.keys())


@pytest.mark.slow
def test_two_drivers_on_one_suite_do_no_run_twice(uri, tmp_path):
    path = tmp_path / "shared.toml"
    path.write_text(SUITE)
    suite = load_suite(str(path))
    command = [Path(sys.executable).parent / "rrrbench", "run", path, "--engine", "stacked"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    drivers = [
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for driver in drivers:
        _, errors = driver.communicate(timeout=300)
        assert driver.returncode == 0, errors.decode()
    tracker = Session(suite, uri, local=tmp_path / "results" / "local").tracker
    keys = [run.data.tags["run_key"] for run in tracker._search("tags.kind = 'run'", limit=None)]
    assert sorted(keys) == sorted(suite.keys())


@pytest.fixture
def two_nodes():
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Nodes

    nodes = Nodes(initialize_head=True, head_node_args={"num_cpus": 1})
    second = nodes.add_node(num_cpus=1)
    yield nodes, second
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_ray_gives_the_same_records_though_a_node_dies(two_nodes):
    nodes, second = two_nodes
    suite = tiny_suite(epochs=150)
    done = []

    def results():
        for stack, result in Cluster(nodes.address).results(tasks(suite), Settings(engine="stacked"), int):
            if not done:
                nodes.remove_node(second, allow_graceful=False)
            done.append(stack)
            yield stack, result

    assert_as_undisturbed(measured(results()), suite)


def test_one_stack_alone_is_the_same_through_run_stack():
    suite = tiny_suite()
    alone = measured((task.stack, run_stack(task, Settings(engine="stacked"))) for task in tasks(suite))
    assert_as_undisturbed(alone, suite)
