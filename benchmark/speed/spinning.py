"""Steps a second on a busy machine and on an idle machine, with the spinning of OpenMP's threads bounded and as it is.

`python -m rrrbench.benchmark.speed.spinning` trains on command: OpenMP reads how long to spin when torch is loaded, so
that each way has a process of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from .table import Figure
from .timing import ROUNDS

NEIGHBOURS = 6
SECONDS = 1.5
"""Of each measurement; the steps of a tenth of it come before."""
UNBOUNDED = "300000"
"""libgomp's own GOMP_SPINCOUNT."""


def spinning_figures() -> Iterator[Figure]:
    """Steps with bounded spinning over steps with libgomp's, among busy neighbours and alone, measured in turns."""
    with ExitStack() as running:
        bounded, unbounded = (running.enter_context(_trainer(spins)) for spins in (None, UNBOUNDED))
        for neighbours, reach in ((NEIGHBOURS, 4), (0, 0.97)):
            with _busy(neighbours):
                pairs = [(_steps(bounded), _steps(unbounded)) for _ in range(ROUNDS)]
            ours, theirs = (sorted(steps)[ROUNDS // 2] for steps in zip(*pairs, strict=True))
            yield Figure(
                f"steps a second, {neighbours} busy neighbours, spinning bounded / unbounded", "at least", reach,
                [bound / free for bound, free in pairs],
                note=f"{ours:.1f} and {theirs:.1f} steps a second, mlp, batch 2048, {torch.get_num_threads()} threads",
            )  # fmt: skip


@contextmanager
def _trainer(spins: str | None) -> Iterator[subprocess.Popen[str]]:
    """A process that trains on command; without `spins` it spins as rrrbench chooses."""
    ours = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")  # this process's, inherited from where rrrbench set it
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {} if spins is None else {"GOMP_SPINCOUNT": spins}
    command = [sys.executable, "-m", "rrrbench.benchmark.speed.spinning"]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _steps(trainer: subprocess.Popen[str]) -> float:
    assert trainer.stdin is not None
    assert trainer.stdout is not None
    trainer.stdin.write("go\n")
    trainer.stdin.flush()
    return float(trainer.stdout.readline())


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Processes that take all that they get."""
    neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


def main() -> None:
    """Prints steps a second of a small network for each line that comes in."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(784, 50), nn.ReLU(), nn.Linear(50, 30), nn.ReLU(), nn.Linear(30, 10)
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    inputs, labels = torch.rand(2048, 784), torch.randint(0, 10, (2048,))

    def steps_a_second(seconds: float) -> float:
        steps, begin = 0, time.perf_counter()
        while time.perf_counter() < begin + seconds:
            optimizer.zero_grad()
            F.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
            steps += 1
        return steps / (time.perf_counter() - begin)

    for _ in sys.stdin:
        steps_a_second(SECONDS / 10)
        sys.stdout.write(f"{steps_a_second(SECONDS)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
