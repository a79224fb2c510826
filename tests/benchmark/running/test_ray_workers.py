"""Ray's workers hold a GPU for one stack: what a process has allocated there is given back when the process ends."""

from __future__ import annotations

import os

import psutil
import pytest
from rrrbench.benchmark.running.executors import Settings, Task, cluster
from tiny import tiny_suite


@pytest.fixture
def ray():
    """A cluster that says it has a GPU: Ray counts GPUs and looks for none."""
    ray = pytest.importorskip("ray")
    with cluster._on_loopback():
        ray.init("local", num_cpus=1, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def workers_of(monkeypatch: pytest.MonkeyPatch, device: str) -> list[tuple[int, str | None]]:
    """The process of each stack, and the GPUs that it sees."""

    def seen(packed, settings, gauge, data_root):
        return (os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES")), {}

    monkeypatch.setattr(cluster, "_train", seen)
    stacks = [Task(stack) for stack in tiny_suite().stacks()]
    results = cluster.Cluster(workers=1).results(stacks, Settings(device=device), lambda epochs: None)
    return [seen for _, seen in results]  # pyrefly: ignore


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_with_a_gpu_ends_with_its_stack_without_a_gpu_at_hand(ray, monkeypatch):
    """Which memory the driver of a GPU gives back is not seen here, only that no process is left to hold any."""
    workers = workers_of(monkeypatch, "cuda")
    processes = [process for process, _ in workers]
    assert len(workers) > 1
    assert {gpus for _, gpus in workers} == {"0"}
    assert len({*processes}) == len(workers)
    left = [psutil.Process(process) for process in processes if psutil.pid_exists(process)]
    assert not psutil.wait_procs(left, timeout=30)[1]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_worker_without_a_gpu_goes_on_with_the_next_stack(ray, monkeypatch):
    workers = workers_of(monkeypatch, "cpu")
    assert len({*workers}) < len(workers)
