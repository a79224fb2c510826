"""How fast the engine is, as ratios of two things timed in one process: `make speed` prints the tables.

The plain loop is what a paper's released code does: one network, `autograd.grad(create_graph=True)`, `backward`, Adam.
"""

from __future__ import annotations

import ctypes
import gc
import io
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import psutil
import torch
import typer
from tabulate import tabulate
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from ...datasets.base import ShortcutDataset, Split
from ...datasets.recipe import datasets, make
from ...methods.base import Mitigation, mitigations
from ..engine.part import Part, parts_of
from ..engine.places import Place
from ..engine.trainer import Trainer
from ..networks import NetworkRecipe, networks
from ..running.executors import Settings, Task
from ..running.executors.processes import Processes
from ..suite.stack import Stack
from ..suite.training import Training

ROUNDS = 7
OPERATORS = 12
STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 4))
decoy = datasets.resolve({"name": "decoy", "base": "digits"})
RRR, ERM = (mitigations.resolve(name) for name in ("rrr", "erm"))
ONE: Place = (slice(0, 1), slice(0, 1))
Step = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """One row of the table: what was measured in every round, and what it should be."""

    what: str
    better: Literal["at least", "at most"]
    reach: float
    samples: Sequence[float]
    unit: str = ""
    note: str = ""

    def row(self) -> list[str]:
        median = statistics.median(self.samples)
        met = median >= self.reach if self.better == "at least" else median <= self.reach
        spread = f"{median:.2f}{self.unit} ({min(self.samples):.2f} to {max(self.samples):.2f})"
        return [self.what, f"{self.better} {self.reach:g}{self.unit}", spread, "yes" if met else "no", self.note]


def plain_loop(network: NetworkRecipe, draw: ShortcutDataset, batch_size: int, strength: float | None) -> Step:
    """One step of RRR, or of ERM where there is no strength, as one would write it."""
    device = _device()
    module = network.build(draw, draw.seed).to(device)
    optimizer = torch.optim.Adam(module.parameters())
    batch = draw.train.batch(slice(0, batch_size))
    inputs, labels, masks = (tensor.to(device) for tensor in (batch.inputs, batch.labels, batch.masks))

    def step() -> None:
        optimizer.zero_grad()
        x = inputs.clone().requires_grad_(strength is not None)
        log_probs = F.log_softmax(module(x), -1)
        loss = F.nll_loss(log_probs, labels)
        if strength is not None:
            (gradient,) = torch.autograd.grad(log_probs.sum(), x, create_graph=True)
            loss = loss + strength * (gradient * masks).square().flatten(1).sum(1).mean()
        loss.backward()
        optimizer.step()

    return step


def one_after_another(steps: Sequence[Step]) -> Step:
    """All of them, as a sweep in a loop does."""
    return lambda: [step() for step in steps]


def trainer(
    network: NetworkRecipe, draws: Sequence[ShortcutDataset], batch_size: int, strengths: Sequence[float]
) -> Trainer:
    """A trainer of this stack."""
    table = torch.tensor([list(strengths)] * len(draws))
    return Trainer(network, draws, Training(epochs=1, batch_size=batch_size), table, device=_device())


def part_of(whole: Trainer, mitigation: Mitigation, place: Place | None = None, *, compiled: bool = False) -> Part:
    """The stack, or one place of it, ready to step."""
    rows, columns = whole.strengths.shape
    return parts_of(mitigation, whole.runs(), compiled=compiled)(place or (slice(0, rows), slice(0, columns)))


def traced_step(part: Part) -> Step:
    """A step of the part on its first batch, traced."""
    batch = part.data.batch(slice(0, part.training.batch_size), torch.float32)
    part.gradients.trace(part.parameters, batch, part.strengths)
    return lambda: part.step(batch)


def ratios(numerator: Step, denominator: Step, steps: int) -> list[float]:
    """Time over time in each of `ROUNDS` rounds that alternate between the two, after a warm-up."""
    for step in (numerator, denominator):
        seconds(step, max(1, steps // 4))
    return [seconds(numerator, steps) / seconds(denominator, steps) for _ in range(ROUNDS)]


def seconds(step: Step, steps: int) -> float:
    """Wall seconds of so many steps."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def flops(part: Part) -> int:
    """Of the matrix products and convolutions in the gradients of one step."""
    traced_step(part)
    (program,) = part.gradients.programs.values()
    batch = part.data.batch(slice(0, part.training.batch_size), torch.float32)
    with FlopCounterMode(display=False) as counter:
        program.forward(part.parameters, batch, part.strengths)  # pyrefly: ignore  # the counter trips over modules
    return counter.get_total_flops()


def penalty_figures(draw: ShortcutDataset) -> Iterator[Figure]:
    """What RRR costs over ERM, one run alone, with one thread and with all."""
    everywhere = make("decoy", 0, base="digits", masks="all_ones")
    for name, reach, steps in (("lenet", 2.1, 4), ("mlp", 1.9, 60)):
        network = networks.resolve(name)
        whole, dense = (trainer(network, [one], 256, [1.0]) for one in (draw, everywhere))
        floor = flops(part_of(dense, RRR)) / flops(part_of(dense, ERM))
        for threads in dict.fromkeys((1, torch.get_num_threads())):
            with _threads(threads):
                rrr, erm = (traced_step(part_of(whole, mitigation)) for mitigation in (RRR, ERM))
                loops = (plain_loop(network, draw, 256, 1.0), plain_loop(network, draw, 256, None))
                plain = statistics.median(ratios(*loops, steps))
                yield Figure(
                    f"RRR step / ERM step, {name}, batch 256, {threads} threads", "at most", reach,
                    ratios(rrr, erm, steps),
                    note=f"{floor:.2f} by FLOPs with every pixel masked, {plain:.2f} in the plain loop",
                )  # fmt: skip


def sweep_figures(draws: Sequence[ShortcutDataset]) -> Iterator[Figure]:
    """A sweep of 8 strengths against the plain loop run 8 times."""
    network = networks.resolve("mlp")
    for batch_size, reach, steps in ((8, 8, 60), (256, 2.5, 15)):
        loops = one_after_another([plain_loop(network, draws[0], batch_size, strength) for strength in STRENGTHS])
        whole = trainer(network, draws[:1], batch_size, STRENGTHS)
        for engine in ("stacked", "compiled"):
            stack = traced_step(part_of(whole, RRR, compiled=engine == "compiled"))
            yield Figure(
                f"sweep of 8 strengths, mlp, batch {batch_size}, plain loop / {engine}", "at least", reach,
                ratios(loops, stack, steps),
            )  # fmt: skip


def gpu_figures(draws: Sequence[ShortcutDataset]) -> Iterator[Figure]:
    """A stack of 64 against its runs one after another, on the GPU."""
    for name, reach, steps in (("mlp", 30, 20), ("lenet", 10, 5)):
        whole = trainer(networks.resolve(name), draws[:8], 256, STRENGTHS)
        runs = whole.strengths.numel()
        singles = one_after_another([traced_step(part_of(whole, RRR, ONE))] * runs)
        yield Figure(
            f"{runs} {name} runs one after another / as a stack, batch 256", "at least", reach,
            ratios(singles, traced_step(part_of(whole, RRR)), steps),
        )  # fmt: skip


def suite_figures() -> Iterator[Figure]:
    """Whole commands: the harness around the training, and a finished suite."""
    with tempfile.TemporaryDirectory() as folder:
        _run("smoke", folder)
        yield Figure("finished suite run again", "at most", 5, [_run("smoke", folder) for _ in range(ROUNDS)], " s")
    if (Path(os.environ.get("RRRBENCH_DATA", "")) / "MNIST").is_dir():
        with tempfile.TemporaryDirectory() as folder:
            wall = _run("decoy-mnist", folder)
            training, setup = _training_seconds("decoy-mnist", folder)
        yield Figure(
            "harness / training time, decoy-mnist suite", "at most", 10,
            [100 * (wall - setup - training) / training], " %",
            f"once; {wall:.0f} s in all, {training:.0f} s training, {setup:.0f} s tracing and compiling",
        )  # fmt: skip


def side_by_side_figure(draw: ShortcutDataset) -> Iterator[Figure]:
    """16 trainings of lenet in two processes of one thread each, against the plain loop with all threads."""
    epochs, network = 10, networks.resolve("lenet")
    stack = Stack(decoy, network, RRR, Training(epochs=epochs), STRENGTHS, (0, 1))
    results = Processes(2).results([Task(stack)], Settings(engine="single"), lambda _: None)
    trained = sum(record.metrics["seconds"] for _, result in results for record in result.records) / 2
    steps = len(stack) * epochs * math.ceil(len(draw.train) / 256)
    plain = plain_loop(network, draw, 256, 1.0)
    yield Figure(
        "16 runs of lenet, batch 256, plain loop / 2 processes", "at least", 1.7,
        [seconds(plain, 4) / 4 * steps / trained for _ in range(ROUNDS)], note="evaluation of the epochs included",
    )  # fmt: skip


def growth(draws: Sequence[ShortcutDataset]) -> Iterator[list[str]]:
    """Seconds of a step of all runs, one after another and stacked, and the stack's peak memory."""
    for name, most, steps in (("mlp", 64, 10), ("lenet", 64 if torch.cuda.is_available() else 8, 1)):
        for runs in (2**power for power in range(int(math.log2(most)) + 1)):
            strengths, seeds = min(runs, 8), max(1, runs // 8)
            whole = trainer(networks.resolve(name), draws[:seeds], 256, STRENGTHS[:strengths])
            single = traced_step(part_of(whole, RRR, ONE))
            with _peak_memory() as memory:
                stacked = traced_step(part_of(whole, RRR))
                stacked()
            took = [min(seconds(step, steps) for _ in range(3)) / steps for step in (single, stacked)]
            times = [f"{1e3 * time:.1f} ms" for time in (took[0] * runs, took[1])]
            yield [name, str(runs), *times, f"{memory.bytes / 2**20:.0f} MiB"]


def growth_in_inputs(draw: ShortcutDataset) -> Iterator[list[str]]:
    """Seconds of an epoch and peak memory of a stack of 8 for 1,000, 10,000 and 60,000 inputs."""
    for n in (1000, 10_000, 60_000):
        index = torch.randint(len(draw.train), (n,), generator=torch.Generator().manual_seed(0))
        train = draw.train
        many = Split(train.inputs[index], train.labels[index], train.masks[index], train.shortcuts[index])
        with _peak_memory() as memory:
            part = part_of(trainer(networks.resolve("mlp"), [replace(draw, train=many)], 256, STRENGTHS), RRR)
            traced_step(part)()
            took = seconds(part.train, 1)
        yield [f"{n:,}", f"{took:.2f} s", f"{1e6 * took / n / 8:.1f} µs", f"{memory.bytes / 2**20:.0f} MiB"]


def profile(draw: ShortcutDataset) -> list[list[str]]:
    """Where a step of lenet goes with one thread: the operators that take most of RRR's, beside ERM's."""
    steps, whole = 5, trainer(networks.resolve("lenet"), [draw], 256, [1.0])
    took: list[dict[str, float]] = []
    with _threads(1):
        for mitigation in (RRR, ERM):
            step = traced_step(part_of(whole, mitigation))
            step()
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
                seconds(step, steps)
            took.append({event.key: event.self_cpu_time_total / 1e3 / steps for event in profiler.key_averages()})
    rrr, erm = took
    shown = sorted(rrr, key=rrr.__getitem__, reverse=True)[:OPERATORS]
    rows = {name: (rrr[name], erm.get(name, 0.0)) for name in shown}
    rows["in all"] = sum(rrr.values()), sum(erm.values())
    return [[name, f"{more:.1f} ms", f"{less:.1f} ms", f"{more / less:.2f}" if less else "-"]
            for name, (more, less) in rows.items()]  # fmt: skip


def main(
    out: Annotated[Path, typer.Option(help="Where to write the tables, as Markdown.")] = Path("results/local/speed.md"),
) -> None:
    """Measures the engine on this machine: minutes, and if its data are there, what the decoy-mnist suite takes."""
    torch.set_flush_denormal(True)
    draws = [decoy.make(seed) for seed in range(8)]
    figures = [penalty_figures(draws[0]), sweep_figures(draws)]
    figures += [] if torch.cuda.is_available() else [side_by_side_figure(draws[0])]
    figures += [gpu_figures(draws)] if torch.cuda.is_available() else []
    measured = [figure for group in (*figures, suite_figures()) for figure in tqdm(group, "figures", leave=False)]
    table = [figure.row() for figure in measured]
    stacks = list(tqdm(growth(draws), "stacks", leave=False))
    inputs = list(tqdm(growth_in_inputs(draws[0]), "inputs", leave=False))
    operators = [] if torch.cuda.is_available() else profile(draws[0])
    text = "\n\n".join(
        [
            f"# Speed on {_machine()}",
            "Made by `make speed`. Ratios of two things timed in turns in one process: "
            f"median (least to greatest) of {ROUNDS}.",
            _markdown(["figure", "reach", "measured", "met", "beside it"], table),
            "RRR, batch 256: one step of all runs. The engine takes the faster way.",
            _markdown(["network", "runs", "one after another", "stacked", "stacked, peak memory"], stacks),
            "RRR, mlp, 8 strengths, batch 256; one epoch, and its share for one input and run.",
            _markdown(["inputs", "epoch", "input and run", "peak memory"], inputs),
            *(_operators(operators) if operators else ()),
        ]
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n")
    typer.echo(f"{text}\n\nwrote {out}")


def _operators(rows: list[list[str]]) -> list[str]:
    title = "Where a step of lenet goes: batch 256, 1 thread, by torch.profiler, whose own cost is in it."
    return [title, _markdown(["operator", "RRR", "ERM", "ratio"], rows)]


@dataclass
class _Peak:
    bytes: int = 0


@contextmanager
def _peak_memory() -> Iterator[_Peak]:
    """The most memory taken inside a `with`, over what was taken before: the GPU's where there is one."""
    peak = _Peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated() - before
    else:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # glibc keeps what was freed
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew
        before = psutil.Process().memory_info().rss
        yield peak
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        peak.bytes = max(0, 1024 * int(status["VmHWM"].split()[0]) - before)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    yield
    torch.set_num_threads(before)


def _run(suite: str, folder: str) -> float:
    """Wall seconds of `rrrbench run`, with records in the folder."""
    start = time.perf_counter()
    subprocess.run([_command(), "run", suite], cwd=folder, env=_environment(folder), check=True, capture_output=True)
    return time.perf_counter() - start


def _training_seconds(suite: str, folder: str) -> tuple[float, float]:
    """What the suite's runs say that they took: to train, and to be traced, tried and compiled before."""
    rows = subprocess.run(
        [_command(), "records", suite], cwd=folder, env=_environment(folder), check=True, capture_output=True, text=True
    ).stdout
    seconds = pd.read_csv(io.StringIO(rows))[["seconds", "seconds/setup"]].sum()
    return float(seconds.iloc[0]), float(seconds.iloc[1])


def _command() -> str:
    return str(Path(sys.executable).parent / "rrrbench")


def _environment(folder: str) -> dict[str, str]:
    return {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _machine() -> str:
    processors = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.machine()}"
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{gpu}{processors}, torch {torch.__version__}"


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, header, "pipe", disable_numparse=True)


if __name__ == "__main__":
    typer.run(main)
