"""What is measured: each case yields rows of a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from ...datasets.base import ShortcutDataset
from ...datasets.recipe import datasets, make
from ...methods.base import Mitigation, mitigations
from ..engine.part import Part, parts_of
from ..engine.places import FIRST_RUN, Place, whole
from ..engine.trainer import Trainer
from ..networks import NetworkRecipe, networks
from ..running.executors import Settings, Task
from ..running.executors.processes import Processes
from ..suite.stack import MitigationStack
from ..suite.training import Training
from .plain import plain_loop, training_device
from .table import Figure
from .timing import ROUNDS, flops, one_after_another, peak_memory, ratios, seconds, threads, traced_step

OPERATORS = 12
STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 4))
decoy = datasets.resolve({"name": "decoy", "base": "digits"})
RRR, ERM = (mitigations.resolve(name) for name in ("rrr", "erm"))


def trainer(
    network: NetworkRecipe, draws: Sequence[ShortcutDataset], batch_size: int, strengths: Sequence[float]
) -> Trainer:
    """A trainer of this stack."""
    table = torch.tensor([list(strengths)] * len(draws))
    return Trainer(network, draws, Training(epochs=1, batch_size=batch_size), table, device=training_device())


def part_of(
    stack_trainer: Trainer, mitigation: Mitigation, place: Place | None = None, *, compiled: bool = False
) -> Part:
    """The stack, or one place of it, ready to step."""
    at = place or whole(stack_trainer.strengths.shape)
    return parts_of(mitigation, stack_trainer.runs(), compiled=compiled)(at)


def penalty_figures(draw: ShortcutDataset) -> Iterator[Figure]:
    """What RRR costs over ERM, one run alone, with one thread and with all."""
    everywhere = make("decoy", 0, base="digits", masks="all_ones")
    for name, reach, steps in (("lenet", 2.1, 4), ("mlp", 1.9, 60)):
        network = networks.resolve(name)
        stack_trainer, dense = (trainer(network, [one], 256, [1.0]) for one in (draw, everywhere))
        floor = flops(part_of(dense, RRR)) / flops(part_of(dense, ERM))
        for number in dict.fromkeys((1, torch.get_num_threads())):
            with threads(number):
                rrr, erm = (traced_step(part_of(stack_trainer, mitigation)) for mitigation in (RRR, ERM))
                loops = (plain_loop(network, draw, 256, 1.0), plain_loop(network, draw, 256, None))
                plain = statistics.median(ratios(*loops, steps))
                yield Figure(
                    f"RRR step / ERM step, {name}, batch 256, {number} threads", "at most", reach,
                    ratios(rrr, erm, steps),
                    note=f"{floor:.2f} by FLOPs with every pixel masked, {plain:.2f} in the plain loop",
                )  # fmt: skip


def sweep_figures(draws: Sequence[ShortcutDataset]) -> Iterator[Figure]:
    """A sweep of 8 strengths against the plain loop run 8 times."""
    network = networks.resolve("mlp")
    for batch_size, reach, steps in ((8, 8, 60), (256, 2.5, 15)):
        loops = one_after_another([plain_loop(network, draws[0], batch_size, strength) for strength in STRENGTHS])
        stack_trainer = trainer(network, draws[:1], batch_size, STRENGTHS)
        for engine in ("stacked", "compiled"):
            stack = traced_step(part_of(stack_trainer, RRR, compiled=engine == "compiled"))
            yield Figure(
                f"sweep of 8 strengths, mlp, batch {batch_size}, plain loop / {engine}", "at least", reach,
                ratios(loops, stack, steps),
            )  # fmt: skip


def gpu_figures(draws: Sequence[ShortcutDataset]) -> Iterator[Figure]:
    """On the GPU: 64 runs in plain loops against a stack of them, and a run of a ResNet-18."""
    for name, reach, steps in (("mlp", 55, 20), ("lenet", 4, 5)):
        network = networks.resolve(name)
        stack_trainer = trainer(network, draws[:8], 256, STRENGTHS)
        loops = [plain_loop(network, draw, 256, strength) for draw in draws[:8] for strength in STRENGTHS]
        yield Figure(
            f"{len(loops)} {name} runs, batch 256, plain loop / stacked", "at least", reach,
            ratios(one_after_another(loops), traced_step(part_of(stack_trainer, RRR)), steps),
        )  # fmt: skip
    network = networks.resolve("resnet18")
    alone = traced_step(part_of(trainer(network, draws[:1], 256, [1.0]), RRR))
    yield Figure(
        "a run of resnet18, batch 256, plain loop / rrrbench", "at least", 1,
        ratios(plain_loop(network, draws[0], 256, 1.0), alone, 5),
    )  # fmt: skip


def side_by_side_figure(draw: ShortcutDataset) -> Iterator[Figure]:
    """16 trainings of lenet in two processes of one thread each, against the plain loop with all threads."""
    epochs, network = 10, networks.resolve("lenet")
    stack = MitigationStack(decoy, network, RRR, Training(epochs=epochs), STRENGTHS, (0, 1))
    results = Processes(workers=2).results([Task(stack)], Settings(engine="single"), lambda _: None)
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
            stack_trainer = trainer(networks.resolve(name), draws[:seeds], 256, STRENGTHS[:strengths])
            single = traced_step(part_of(stack_trainer, RRR, FIRST_RUN))
            with peak_memory() as memory:
                stacked = traced_step(part_of(stack_trainer, RRR))
                stacked()
            took = [min(seconds(step, steps) for _ in range(3)) / steps for step in (single, stacked)]
            times = [f"{1e3 * time:.1f} ms" for time in (took[0] * runs, took[1])]
            yield [name, str(runs), *times, f"{memory.bytes / 2**20:.0f} MiB"]


def growth_in_inputs(draw: ShortcutDataset) -> Iterator[list[str]]:
    """Seconds of an epoch and peak memory of a stack of 8 for 1,000, 10,000 and 60,000 inputs."""
    for n in (1000, 10_000, 60_000):
        index = torch.randint(len(draw.train), (n,), generator=torch.Generator().manual_seed(0))
        many = draw.train.rows(index)
        with peak_memory() as memory:
            part = part_of(trainer(networks.resolve("mlp"), [replace(draw, train=many)], 256, STRENGTHS), RRR)
            traced_step(part)()
            took = seconds(part.train, 1)
        yield [f"{n:,}", f"{took:.2f} s", f"{1e6 * took / n / 8:.1f} µs", f"{memory.bytes / 2**20:.0f} MiB"]


def profile(draw: ShortcutDataset) -> list[list[str]]:
    """Where a step of lenet goes with one thread: the operators that take most of RRR's, beside ERM's."""
    steps, stack_trainer = 5, trainer(networks.resolve("lenet"), [draw], 256, [1.0])
    took: list[dict[str, float]] = []
    with threads(1):
        for mitigation in (RRR, ERM):
            step = traced_step(part_of(stack_trainer, mitigation))
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
