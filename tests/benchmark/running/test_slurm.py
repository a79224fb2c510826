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
from test_executors import SUITE, assert_as_undisturbed, finished, measured, tasks
from tiny import tiny_suite

pytest.importorskip("submitit")
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")  # a cancelled job's
DRIVER = """
import rrrbench
where = {"name": "slurm", "cluster": "local", "workers": 2}
rrrbench.run("own.toml", engine="stacked", device="cpu", executor=where, home="results/local", log=False)
"""


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
@pytest.mark.faults
def test_a_killed_job_is_submitted_again(settings, monkeypatch):
    monkeypatch.setattr(slurm, "LATE_SECONDS", 1.0)
    monkeypatch.setattr(slurm, "TELL_SECONDS", 0.0)
    suite, killer = tiny_suite(epochs=100), KillsAJob()
    found = measured(Slurm(workers=1, cluster="local").results(tasks(suite), settings, killer))
    assert killer.killed == 1
    assert_as_undisturbed(found, suite)
    assert sum(killer.reports) == sum(stack.epochs for stack in suite.stacks())


@pytest.mark.slow
def test_a_stack_that_always_kills_its_job_fails_alone_and_says_how_often(settings, monkeypatch):
    monkeypatch.setattr(slurm, "LATE_SECONDS", 1.0)
    monkeypatch.setattr(slurm, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "ATTEMPTS", 1)
    suite, killer = tiny_suite(epochs=100), KillsAJob()
    results = Slurm(workers=1, cluster="local").results(tasks(suite), settings, killer)
    found = [record for _, result in results for record in result.records]
    assert sorted(record.status for record in found) == ["failed"] * 2 + ["finished"] * 4
    assert all("died 1 times" in record.error for record in found if record.status == "failed")
    assert sum(killer.reports) == sum(stack.epochs for stack in suite.stacks())
    assert not folders(settings)


@pytest.mark.slow
def test_an_error_of_the_data_reaches_the_driver_and_cancels_the_other_jobs(settings, tmp_path):
    suite = tiny_suite(dataset={"name": "decoy", "base": f"npz:{tmp_path / 'absent.npz'}"})
    with pytest.raises(FileNotFoundError, match=r"absent\.npz") as raised:
        list(Slurm(workers=2, cluster="local").results(tasks(suite), settings, int))
    assert "In a job of Slurm" in "".join(raised.value.__notes__)
    assert not folders(settings)


@pytest.mark.slow
def test_the_result_of_a_job_that_outlived_its_driver_is_taken(settings, monkeypatch):
    suite = tiny_suite(mitigations=[{"mitigation": "erm"}])
    (task,) = tasks(suite)
    left = slurm._Job(task, settings, settings.home, "local")
    deadline = time.monotonic() + 400
    while not left._job.paths.result_pickle.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    left._job._process.wait()
    monkeypatch.setattr(slurm._Job, "_submitted", lambda job: pytest.fail("submitted again"))
    found = measured(Slurm(workers=1, cluster="local").results([task], settings, int))
    assert_as_undisturbed(found, suite)


@pytest.fixture
def drive(tmp_path):
    """Starts drivers on SUITE; afterwards nothing of theirs is left, whatever outlived them."""
    (tmp_path / "own.toml").write_text(SUITE)
    yield lambda: psutil.Popen([sys.executable, "-c", DRIVER], cwd=tmp_path, stderr=subprocess.PIPE)
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in " ".join(process.info["cmdline"] or ()):
            process.kill()


@pytest.mark.slow
def test_after_a_killed_driver_the_same_command_goes_on(drive, tmp_path):
    driver = drive()
    while not finished(tmp_path) and driver.poll() is None:
        time.sleep(0.02)
    driver.kill()
    driver.communicate()
    store, suite = RecordStore(tmp_path / "results/local"), load_suite(str(tmp_path / "own.toml"))
    before = {key: store.path(key).stat().st_mtime_ns for key in finished(tmp_path)}
    assert 0 < len(before) < len(suite.keys())
    driver = drive()
    _, errors = driver.communicate(timeout=400)
    assert driver.returncode == 0, errors.decode()
    assert {key: store.path(key).stat().st_mtime_ns for key in before} == before
    assert finished(tmp_path) == set(suite.keys())


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """A Slurm on which every job comes to the state in the file `state`; a submitted job's script is NUMBER.sh."""
    import submitit

    slurm_says = tmp_path / "slurm"
    slurm_says.mkdir()
    scripts = {
        "srun": "exit 1",
        "sbatch": 'n=$(($(ls *.sh 2>/dev/null | wc -l) + 1)); cp "$1" $n.sh; echo "Submitted batch job $n"',
        "sacct": 'echo "JobID|State|NodeList"; for job in *.sh; do echo "${job%.sh}|$(cat state)|node1"; done',
        "scancel": 'echo "$1" >> cancelled',
    }
    for name, script in scripts.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\ncd {slurm_says}\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LATE_SECONDS", 0.0)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.0)
    submitit.SlurmJob.watcher.clear()
    return slurm_says


@pytest.mark.parametrize("state", ["OUT_OF_MEMORY", "NODE_FAIL", "TIMEOUT", "PREEMPTED"])
def test_what_slurm_ends_is_submitted_three_times_and_then_failed_with_slurms_word(fake_slurm, settings, state):
    (fake_slurm / "state").write_text(state)
    erm = tasks(tiny_suite())[0]
    ((stack, result),) = Slurm(workers=1).results([erm], settings, int)
    assert stack == erm.stack
    assert {record.status for record in result.records} == {"failed"}
    assert all(f"died 3 times: its state is {state}" in record.error for record in result.records)
    assert len(list(fake_slurm.glob("*.sh"))) == 3
    assert (fake_slurm / "cancelled").read_text().split() == ["1", "2", "3"]


def test_what_sbatch_refuses_is_said_in_a_line(fake_slurm, settings):
    (fake_slurm.parent / "bin" / "sbatch").write_text("#!/bin/bash\necho invalid partition specified >&2\nexit 1\n")
    with pytest.raises(ValueError, match=r"sbatch takes no job .*invalid partition specified.*SBATCH_…"):
        list(Slurm(workers=1).results([tasks(tiny_suite())[0]], settings, int))


def test_slurm_is_told_of_a_gpu_and_asked_nothing_that_sbatchs_variables_say(fake_slurm, settings):
    erm = tasks(tiny_suite())[0]
    for device in ("cpu", "cuda"):
        slurm._Job(erm, Settings(device=device), settings.home, "slurm")
    on_cpu, on_gpu = ((fake_slurm / f"{number}.sh").read_text() for number in (1, 2))
    assert "#SBATCH --gpus-per-node=1" in on_gpu
    assert "gpus" not in on_cpu
    for option in ("time", "partition", "account", "mem", "qos"):
        assert f"--{option}=" not in on_gpu


def test_a_job_that_is_still_queued_is_waited_for_by_the_next_driver(fake_slurm, settings):
    (fake_slurm / "state").write_text("PENDING")
    erm = tasks(tiny_suite())[0]
    first, second = (slurm._Job(erm, settings, settings.home, "slurm") for _ in range(2))
    assert first._job.job_id == second._job.job_id == "1"
    assert second.answer() is None
    second.forget()
    assert (fake_slurm / "cancelled").read_text().split() == ["1"]


def test_without_slurm_or_submitit_the_executor_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BadParameters, match="this machine has no srun"):
        executors.resolve("slurm")
    assert executors.resolve({"name": "slurm", "cluster": "local"}) == Slurm(cluster="local")
    monkeypatch.setattr(slurm, "find_spec", lambda name: None)
    with pytest.raises(BadParameters, match=r"rrrbench\[slurm\]"):
        executors.resolve("slurm")
