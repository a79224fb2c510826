"""Whichever executor trains: the same records, nothing lost when a process dies, nothing logged twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import pandas as pd
import psutil
import pytest
from rrrbench.benchmark.running.choices import Choices
from rrrbench.benchmark.running.executors import DigestMismatch, Settings, Task, executors, processes, run_stack
from rrrbench.benchmark.running.executors.base import divided
from rrrbench.benchmark.running.executors.cluster import Cluster
from rrrbench.benchmark.running.executors.here import Here
from rrrbench.benchmark.running.executors.processes import Processes
from rrrbench.benchmark.store.frames import flat
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.suite.loading import load_suite
from rrrbench.benchmark.suite.sweep import Suite
from rrrbench.datasets.recipe import Recipe
from rrrbench.datasets.registry import BadParameters, UnknownName
from rrrbench.methods.base import mitigations
from rrrbench.methods.mitigations.rrr import RRR
from tiny import tiny_suite

STACKED = Settings(engine="stacked")
TESTS = Path(__file__).parents[1]


def measured(outcomes) -> pd.DataFrame:
    """One row a run, without what no two trainings share: the time they took."""
    records = [record for _, result in outcomes for record in result.records]
    rows = pd.DataFrame([{"key": r.run_key, "status": r.status, **r.metrics} for r in records])
    return rows.set_index("key").sort_index().drop(columns=["seconds", "seconds/setup"], errors="ignore")


def tasks(suite: Suite) -> list[Task]:
    return [Task(stack) for stack in suite.stacks()]


def assert_as_undisturbed(found: pd.DataFrame, suite: Suite) -> None:
    """Stacks of other shapes sum in another order, so the last bits of float32 may differ."""
    expected = measured(Here().results(tasks(suite), STACKED, int))
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4, atol=1e-4, check_like=True)


def workers() -> list[multiprocessing.process.BaseProcess]:
    return [child for child in multiprocessing.active_children() if child.name.startswith("rrrbench worker")]


class KillsAWorker:
    """A progress bar that kills a worker with signal 9 while it trains, once."""

    def __init__(self) -> None:
        self.reports: list[int] = []
        self.killed = 0

    def __call__(self, epochs: int) -> None:
        self.reports.append(epochs)
        if not self.killed and sum(self.reports) > 20:
            self.killed = workers()[0].pid
            os.kill(self.killed, signal.SIGKILL)


def test_stacks_are_divided_by_seeds_and_then_by_strengths():
    (_, rrr) = tiny_suite(seeds=(0, 1, 2)).stacks()
    assert [(s.seeds, s.strengths) for s in rrr.divided(2)] == [((0, 1), (0.1, 1.0)), ((2,), (0.1, 1.0))]
    assert [len(s) for s in rrr.divided(6)] == [1] * 6
    assert {key for s in rrr.divided(4) for key in s.places()} == set(rrr.places())


def test_only_the_last_stacks_are_divided_and_each_has_one_picture():
    stack = tiny_suite(seeds=(0, 1, 2)).stacks()[1]
    pieces = list(divided([Task(stack, after=after) for after in (3, 2, 1, 0)], lambda: 3))
    assert [len(piece.stack) for piece in pieces] == [6, 6, 4, 2, 2, 2, 2]
    assert [piece.panel for piece in pieces] == [True, True, True, False, True, False, False]


@pytest.mark.slow
def test_one_stack_alone_is_the_same_through_run_stack():
    suite = tiny_suite()
    assert_as_undisturbed(measured((task.stack, run_stack(task, STACKED)) for task in tasks(suite)), suite)


@pytest.mark.slow
def test_the_seconds_of_a_run_are_of_all_that_its_fit_does_but_setting_up():
    class Dawdles(RRR):
        name: ClassVar[str] = "dawdles"

        def fit(self, trainer):
            time.sleep(2)
            return super().fit(trainer)

    result = run_stack(Task(replace(tiny_suite().stacks()[1], mitigation=Dawdles())), STACKED)
    metrics = [record.metrics for record in result.records]
    assert 2 < sum(of["seconds"] for of in metrics) < 20
    assert all(of["seconds/setup"] > 0 for of in metrics)


@pytest.mark.parametrize(
    ("mitigation", "reason"), [("dfr", "no minority group"), ("hint", "needs a convolution's feature maps")]
)
def test_what_a_mitigation_cannot_work_with_is_said_and_not_trained(mitigation, reason):
    method, epochs = mitigations.resolve(mitigation), []
    task = Task(replace(tiny_suite().stacks()[1], mitigation=method, strengths=(0.1,)))
    records = run_stack(task, STACKED, epochs.append).records
    assert [(record.status, record.seed) for record in records] == [("inapplicable", 0), ("inapplicable", 1)]
    assert all(reason in record.error and not record.metrics for record in records)
    assert sum(epochs) == task.stack.epochs


@pytest.mark.slow
def test_processes_give_the_same_records():
    suite, epochs = tiny_suite(), []
    found = list(Processes(workers=2).results(tasks(suite), STACKED, epochs.append))
    assert len(found) == 4  # each of two stacks in two pieces
    panels = sorted(result.panel is not None for _, result in found)
    assert panels == [False, False, True, True]  # of each stack one; ERM's is the first column of the other's
    assert_as_undisturbed(measured(found), suite)
    assert sum(epochs) == sum(stack.epochs for stack in suite.stacks())
    assert not workers()


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_killed_at_work_costs_nothing_but_time():
    suite, killer = tiny_suite(epochs=150), KillsAWorker()
    found = measured(Processes(workers=1).results(tasks(suite), STACKED, killer))
    assert killer.killed
    assert_as_undisturbed(found, suite)
    assert sum(killer.reports) == sum(stack.epochs for stack in suite.stacks())


@pytest.mark.slow
def test_a_worker_killed_between_two_tasks_costs_nothing_but_time():
    suite = tiny_suite()

    def kill_in_between() -> Iterator[Task]:
        first, second = tasks(suite)
        yield first
        (idle,) = workers()
        idle.kill()
        idle.join()
        yield second

    assert_as_undisturbed(measured(Processes(workers=1).results(kill_in_between(), STACKED, int)), suite)


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_message_costs_nothing_but_time():
    """Its state dicts, 4 x 7.5 MiB, do not fit into a pipe, so it waits for the driver with half of them sent."""
    suite = tiny_suite(network={"name": "mlp", "hidden": [2500]}, epochs=1)
    results = Processes(workers=1).results(tasks(suite), replace(STACKED, save_models=True), int)
    found = [next(results)]
    (worker,) = workers()
    process, before = psutil.Process(worker.pid), -1.0
    while (now := sum(process.cpu_times()[:2])) > before or process.status() != psutil.STATUS_SLEEPING:
        before = now
        time.sleep(3)
    worker.kill()
    worker.join()
    found += results
    assert_as_undisturbed(measured(found), suite)


@pytest.mark.slow
def test_a_stack_that_always_kills_its_worker_fails_alone_and_names_the_signal(monkeypatch):
    monkeypatch.setattr(processes, "ATTEMPTS", 1)
    suite, killer = tiny_suite(epochs=150), KillsAWorker()
    results = Processes(workers=1).results(tasks(suite), STACKED, killer)
    found = [record for _, result in results for record in result.records]
    assert sorted(record.status for record in found) == ["failed"] * 2 + ["finished"] * 4
    assert all("signal SIGKILL" in record.error for record in found if record.status == "failed")
    assert sum(killer.reports) == sum(stack.epochs for stack in suite.stacks())


class Raises(RRR):
    """RRR whose term raises."""

    name: ClassVar[str] = "raises"

    def terms(self, net, batch, strength):
        raise RuntimeError("planted: this term raises")


class CannotRender(Recipe):
    """No data, for a reason that is a programming error."""

    name: ClassVar[str] = "cannot-render"

    def render(self, seed: int):
        raise RuntimeError("planted: this recipe raises")


@pytest.mark.slow
def test_exceptions_are_what_they_are_in_this_process():
    stack = tiny_suite().stacks()[1]
    ((_, result),) = Processes(workers=1).results([Task(replace(stack, mitigation=Raises()))], STACKED, int)
    assert {record.status for record in result.records} == {"failed"}
    assert all("in terms\n    raise RuntimeError" in record.error for record in result.records)

    with pytest.raises(RuntimeError, match="planted: this recipe raises") as raised:
        list(Processes(workers=1).results([Task(replace(stack, dataset=CannotRender()))], STACKED, int))
    assert "in render" in "".join(raised.value.__notes__)
    assert not workers()


@pytest.mark.slow
def test_an_error_of_the_data_reaches_the_driver(tmp_path):
    suite = tiny_suite(dataset={"name": "decoy", "base": f"npz:{tmp_path / 'absent.npz'}"})
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        list(Processes(workers=1).results(tasks(suite), Settings(), int))
    assert not workers()


def test_a_batch_larger_than_the_data_is_an_error_and_no_failed_runs():
    suite = tiny_suite(training={"epochs": 1, "batch_size": 2000})
    with pytest.raises(ValueError, match=r"batch_size = 2000 is larger than the training data of decoy-digits \(1168"):
        run_stack(Task(suite.stacks()[0]))


@pytest.mark.slow
def test_data_that_differ_between_two_workers_are_an_error_and_not_logged(session, monkeypatch):
    class TwoWorkers(Here):
        def results(self, tasks, settings, progress):
            for i, (stack, result) in enumerate(super().results(list(tasks), settings, progress)):
                result.records[:] = [record.model_copy(update={"digest": f"{i}" * 64}) for record in result.records]
                yield stack, result

    one = session()
    one.executor = TwoWorkers()
    with pytest.raises(DigestMismatch, match="seed 0, differs"):
        one.run()
    assert set(flat(one.store.all(one.suite.keys())).mitigation) == {"erm"}


def test_executors_are_named_and_take_their_own_parameters():
    assert {"auto", "here", "processes", "ray", "slurm"} <= set(executors.names())
    assert executors.resolve({"name": "processes", "workers": 3}) == Processes(workers=3)
    with pytest.raises(UnknownName, match="did you mean processes"):
        executors.resolve("proceses")
    with pytest.raises(BadParameters, match="'workers' is not a parameter"):
        executors.resolve({"name": "here", "workers": 3})
    with pytest.raises(BadParameters, match="workers = 0"):
        executors.resolve({"name": "processes", "workers": 0})


@pytest.mark.slow
def test_a_run_that_two_sweeps_share_is_trained_once(session):
    suite = tiny_suite()
    wider = tiny_suite(mitigations=[{"mitigation": "rrr", "strengths": [0.1, 5.0]}])
    both = suite.model_copy(update={"sweeps": (*suite.sweeps, *wider.sweeps)})
    assert session(both).run().trained == len(both.keys()) == 8


def test_two_sessions_that_note_what_is_fastest_do_not_meet(tmp_path):
    def note() -> None:
        try:
            for i in range(100):
                Choices(tmp_path / "engine.json")[f"shape {i}"] = "stacked"
        except Exception as error:
            errors.append(error)

    errors: list[Exception] = []
    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [file.name for file in tmp_path.iterdir()] == ["engine.json"]


SLEEPS = """
import time
from functools import partial
from pathlib import Path
from tiny import tiny_suite
from rrrbench.benchmark.running.executors import Settings, Task
from rrrbench.benchmark.running.executors.processes import Processes
from test_executors import Sleeps

if __name__ == "__main__":
    from dataclasses import replace
    stacks = [replace(stack, dataset=Sleeps()) for stack in tiny_suite().stacks()]
    list(Processes(workers=2).results([Task(stack) for stack in stacks], Settings(), int))
"""


class Sleeps(Recipe):
    """Data that take minutes to draw; meanwhile nobody hears of the worker."""

    name: ClassVar[str] = "sleeps"

    def render(self, seed: int):
        Path(f"drawing-{os.getpid()}").touch()
        time.sleep(600)


@pytest.mark.slow
def test_workers_end_with_a_killed_driver_whatever_they_do(tmp_path):
    (tmp_path / "driver.py").write_text(SLEEPS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (TESTS, Path(__file__).parent)))}
    driver = psutil.Popen([sys.executable, "driver.py"], cwd=tmp_path, env=environment)
    deadline = time.monotonic() + 200
    while len(list(tmp_path.glob("drawing-*"))) < 2 and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    children = driver.children(recursive=True)
    driver.kill()
    driver.wait()
    assert len(children) >= 2
    assert not psutil.wait_procs(children, timeout=10)[1]


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


@pytest.fixture
def start(uri, tmp_path):
    """Starts the command line on SUITE, in a process group of its own as a shell does."""
    (tmp_path / "own.toml").write_text(SUITE)
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    started: list[psutil.Popen] = []

    def call(*options: str) -> psutil.Popen:
        command = [Path(sys.executable).parent / "rrrbench", "run", "own.toml", "--device", "cpu", *options]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(psutil.Popen(command, cwd=tmp_path, env=environment, start_new_session=True, **pipes))
        return started[-1]

    yield call
    for driver in started:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()


def finished(tmp_path: Path) -> set[str]:
    return {path.stem for path in (tmp_path / "results/local/records").glob("*/*.json")}


def wait_for_a_run(tmp_path: Path, driver: psutil.Popen) -> None:
    deadline = time.monotonic() + 120
    while not finished(tmp_path) and driver.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)


def assert_recorded_as_undisturbed(uri: str, tmp_path: Path) -> None:
    suite, store = load_suite(str(tmp_path / "own.toml")), RecordStore(tmp_path / "results/local")
    logged = Mirror(uri, "own", store).search("tags.kind = 'run'")
    assert sorted(run.data.tags["run_key"] for run in logged) == sorted(suite.keys())
    found = flat(store.all(suite.keys())).set_index("run_key").sort_index().rename_axis("key")
    expected = measured(Here().results(tasks(suite), STACKED, int))
    pd.testing.assert_frame_equal(found[expected.columns], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.faults
def test_a_killed_driver_takes_its_workers_with_it_and_the_next_one_goes_on(start, uri, tmp_path):
    options = ("--executor", "processes", "--workers", "1")
    driver = start(*options)
    wait_for_a_run(tmp_path, driver)
    children = driver.children(recursive=True)
    driver.kill()
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert 0 < len(finished(tmp_path)) < 6
    again = start(*options)
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors.decode()
    assert_recorded_as_undisturbed(uri, tmp_path)


@pytest.mark.slow
@pytest.mark.faults
def test_ctrl_c_ends_the_workers_quietly_and_says_how_to_go_on(start, tmp_path):
    driver = start("--executor", "processes", "--workers", "1")
    wait_for_a_run(tmp_path, driver)
    children = driver.children(recursive=True)
    os.killpg(driver.pid, signal.SIGINT)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 130
    assert "the same command goes on from there" in errors.decode()
    assert "Traceback" not in errors.decode()
    assert children
    assert not psutil.wait_procs(children, timeout=10)[1]


@pytest.mark.slow
@pytest.mark.faults
def test_two_drivers_on_one_suite_do_no_run_twice(start, uri, tmp_path):
    for driver in [start(), start("--executor", "processes", "--workers", "1")]:
        _, errors = driver.communicate(timeout=400)
        assert driver.returncode == 0, errors.decode()
    assert_recorded_as_undisturbed(uri, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_ray_started_here_gives_the_same_records_and_is_shut_down(start, uri, tmp_path):
    pytest.importorskip("ray")
    driver = start("--executor", "ray", "--workers", "2")
    wait_for_a_run(tmp_path, driver)
    children = driver.children(recursive=True)
    names = [child.name() for child in children]
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, errors.decode()
    assert "raylet" in names
    assert not psutil.wait_procs(children, timeout=30)[1]
    assert_recorded_as_undisturbed(uri, tmp_path)


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
def test_a_node_killed_at_work_costs_nothing_but_time(two_nodes):
    nodes, second = two_nodes
    raylet = psutil.Process(second.all_processes["raylet"][0].process.pid)
    suite, reports, killed = tiny_suite(epochs=300), [], []

    def progress(epochs: int) -> None:
        reports.append(epochs)
        if not killed and sum(reports) > 20:
            killed.extend(child.name() for child in raylet.children() if "_train" in child.name())
            if killed:
                nodes.remove_node(second, allow_graceful=False)

    found = measured(Cluster(address=nodes.address).results(tasks(suite), STACKED, progress))
    assert killed
    assert_as_undisturbed(found, suite)
    assert sum(reports) == sum(stack.epochs for stack in suite.stacks())


@pytest.mark.parametrize(
    ("free", "devices", "sharers"),
    [
        ([80], [0], [1]),
        ([80, 79], [0, 1], [1, 1]),
        ([80, 80, 80], [0, 1, 2, 0], [2, 1, 1, 2]),
        ([80], [0, 0, 0], [3, 3, 3]),
        ([7, 80], [1, 1], [2, 2]),  # somebody else has filled the first
        ([30, 80], [1, 0, 1], [2, 1, 2]),
    ],
)
def test_workers_are_placed_by_free_memory_and_share_it(monkeypatch, free, devices, sharers):
    monkeypatch.setattr(processes, "free_by_gpu", partial(list, free))  # a child process gets it
    workers = processes.placed(len(devices), Settings(device="cuda"))
    assert [worker.device for worker in workers] == [f"cuda:{gpu}" for gpu in devices]
    assert [worker.sharers for worker in workers] == sharers


def test_workers_on_a_cpu_share_no_gpu():
    assert [(worker.device, worker.sharers) for worker in processes.placed(2, Settings())] == [("cpu", 1)] * 2
