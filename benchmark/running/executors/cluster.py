"""On a Ray cluster: each stack is a task, which Ray places, and places again when a node dies."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, ClassVar

import torch
from pydantic import PositiveInt, model_validator

from ....datasets.own_code import restore
from ...suite.stack import Stack
from ..course import Progress
from .base import Result, Settings, Task, divided, failed, run_stack
from .executor import Executor, executors

ATTEMPTS = 3
POLL_SECONDS = 0.5
ON_NETWORK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's variable: 1 lets Ray that is started here listen on all interfaces, on Linux too."""


@executors.register
class Cluster(Executor):
    """Trains stacks on a Ray cluster, wherever Ray finds room.

    Attributes:
        address: of a running cluster ("auto" for the cluster that this machine belongs to); None starts Ray here, where
            it listens on loopback.
        workers: how many stacks at once; None for a stack a core, or a stack a GPU, of the cluster.

    Raises:
        ValueError: Ray is not installed.
    """

    name: ClassVar[str] = "ray"
    elsewhere: ClassVar[bool] = True
    address: str | None = None
    workers: PositiveInt | None = None

    @model_validator(mode="after")
    def _installed(self) -> Cluster:
        if find_spec("ray") is None:
            raise ValueError("it needs Ray: pip install 'rrrbench[ray]'")
        return self

    @property
    def ray(self) -> Any:
        import ray

        return ray

    def results(self, tasks: Iterable[Task], settings: Settings, progress: Progress) -> Generator[tuple[Stack, Result]]:
        """As every executor; the device `auto` is a GPU if the cluster has one.

        Raises:
            ConnectionError: there is no cluster at the address.
        """
        ray, ours = self.ray, not self.ray.is_initialized()
        if ours:
            address = self.address or "local"
            with _on_loopback() if self.address is None else nullcontext():
                ray.init(address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        try:
            yield from self._results(tasks, settings, progress)
        finally:
            if ours:
                ray.shutdown()

    def _results(
        self, tasks: Iterable[Task], settings: Settings, progress: Progress
    ) -> Generator[tuple[Stack, Result]]:
        ray, device = self.ray, settings.device
        if device == "auto":
            device = "cuda" if ray.cluster_resources().get("GPU") else "cpu"

        def places() -> int:  # nodes come and go
            resource = "GPU" if device == "cuda" else "CPU"
            return self.workers or max(1, int(ray.cluster_resources().get(resource, 1)))

        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        gauge = ray.remote(_Gauge).options(num_cpus=0, scheduling_strategy=here, max_restarts=-1, max_task_retries=-1)
        told = gauge.remote()
        # as arguments of `remote`: through `options` Ray would keep a worker, and the GPU memory that it holds
        train = ray.remote(num_cpus=1, num_gpus=int(device == "cuda"), max_retries=ATTEMPTS - 1)(_train)
        data_root = os.environ.get("RRRBENCH_DATA")
        pieces = divided(tasks, places)
        running: dict[object, Task] = {}
        done: list[tuple[Stack, Result]] = []
        ended = shown = 0.0
        try:
            while True:
                while len(running) < places() and (task := next(pieces, None)) is not None:
                    own = replace(settings, device=device, choices=dict(settings.choices))
                    packed = pickle.dumps(task)  # a worker can read it once it has the code of --with
                    running[train.remote(packed, own, told, data_root)] = task  # pyrefly: ignore
                yield from done  # after the cluster has got its next tasks: recording takes time
                done.clear()
                if not running:
                    return
                ready, _ = ray.wait(list(running), timeout=POLL_SECONDS)
                for reference in ready:
                    task = running.pop(reference)
                    ended += task.work
                    try:
                        result, choices = ray.get(reference)
                    except ray.exceptions.RayTaskError as error:
                        raise error.cause from error
                    except ray.exceptions.RayError as error:
                        done.append((task.stack, failed(task.stack, f"Ray lost this run {ATTEMPTS} times: {error}")))
                    else:
                        settings.choices.update(choices)
                        done.append((task.stack, result))
                keys = [task.key for task in running.values()]
                trained = ended + ray.get(told.of.remote(keys))  # pyrefly: ignore
                progress(trained - shown)
                shown = trained
        finally:
            for reference in running:
                ray.cancel(reference, force=True)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Ray that is started within listens on loopback alone, unless `ON_NETWORK` says otherwise in the environment.

    Ray has no argument for it: it takes the machine's outer address even for 127.0.0.1, and listens on all interfaces.
    Ray keeps to loopback on macOS and Windows by this variable, which the processes that Ray starts inherit.
    """
    from ray._private import ray_constants

    if ON_NETWORK in os.environ:
        yield
        return
    before = ray_constants.ENABLE_RAY_CLUSTER
    os.environ[ON_NETWORK], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        del os.environ[ON_NETWORK]
        ray_constants.ENABLE_RAY_CLUSTER = before


class _Gauge:
    """The progress of each task; lives where the driver does. A task that starts again starts from 0."""

    def __init__(self) -> None:
        self.progress: dict[str, float] = {}

    def set(self, key: str, progress: float) -> None:
        self.progress[key] = progress

    def of(self, keys: Sequence[str]) -> float:
        return sum(self.progress.get(key, 0.0) for key in keys)


def _train(packed: bytes, settings: Settings, gauge: _Gauge, data_root: str | None) -> tuple[Result, dict[str, str]]:
    """In a worker of the cluster, whose environment is not the driver's."""
    if data_root is not None:
        os.environ["RRRBENCH_DATA"] = data_root
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    restore(settings.own_code)
    task: Task = pickle.loads(packed)
    trained = 0.0

    def progress(done: float) -> None:
        nonlocal trained
        trained += done
        gauge.set.remote(task.key, trained)  # pyrefly: ignore

    return run_stack(task, settings, progress), dict(settings.choices)
