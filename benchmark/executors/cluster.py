"""On a Ray cluster: each stack is a task, which Ray places, and places again when a node dies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import torch

from ..suite import Stack
from .base import Result, Settings, Task, failed, run_stack

ATTEMPTS = 3
POLL_SECONDS = 0.5


class Cluster:
    """Trains stacks on whatever Ray finds room on.

    Args:
        address: of a running cluster ("auto" for the one that this machine belongs to); None starts Ray here.
        workers: how many stacks at once; None for one a core, or one a GPU, of the cluster.

    Raises:
        ValueError: Ray is not installed.
        ConnectionError: there is no cluster at the address.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ValueError("--executor ray needs Ray: pip install 'rrrbench[ray]'") from error
        self.ray, self.address, self.workers = ray, address, workers

    def results(
        self, tasks: Iterable[Task], settings: Settings, progress: Callable[[int], object]
    ) -> Iterator[tuple[Stack, Result]]:
        ray, ours = self.ray, not self.ray.is_initialized()
        if ours:
            ray.init(self.address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        try:
            yield from self._results(tasks, settings, progress)
        finally:
            if ours:
                ray.shutdown()

    def _results(
        self, tasks: Iterable[Task], settings: Settings, progress: Callable[[int], object]
    ) -> Iterator[tuple[Stack, Result]]:
        ray, resource = self.ray, "GPU" if settings.device == "cuda" else "CPU"
        count = self.workers or max(1, int(ray.cluster_resources().get(resource, 1)))
        pieces = (replace(task, stack=stack) for task in tasks for stack in task.stack.divided(count))
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        counter = ray.remote(_Counter).options(num_cpus=0, scheduling_strategy=here).remote()
        train = ray.remote(_train).options(num_cpus=1, num_gpus=int(resource == "GPU"), max_retries=ATTEMPTS - 1)
        running: dict[object, Task] = {}
        while True:
            while len(running) < count and (task := next(pieces, None)) is not None:
                running[train.remote(task, replace(settings, choices=dict(settings.choices)), counter)] = task
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
            progress(ray.get(counter.taken.remote()))  # pyrefly: ignore
            for reference in ready:
                task = running.pop(reference)
                try:
                    result, choices = ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from error
                except ray.exceptions.RayError as error:
                    yield task.stack, failed(task.stack, f"Ray lost this run {ATTEMPTS} times: {error}")
                else:
                    settings.choices.update(choices)
                    yield task.stack, result


class _Counter:
    """Epochs that workers trained and the driver has not heard of; lives where the driver does."""

    def __init__(self) -> None:
        self.epochs = 0

    def add(self, epochs: int) -> None:
        self.epochs += epochs

    def taken(self) -> int:
        taken, self.epochs = self.epochs, 0
        return taken


def _train(task: Task, settings: Settings, counter: object) -> tuple[Result, dict[str, str]]:
    """In a worker of the cluster."""
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    result = run_stack(task, settings, counter.add.remote)  # pyrefly: ignore
    return result, dict(settings.choices)
