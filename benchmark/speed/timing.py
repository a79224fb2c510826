"""Steps, and how long they take: wall seconds, ratios in rounds, operations, peak memory."""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

from ..engine.part import Part

ROUNDS = 7
Step = Callable[[], object]


def one_after_another(steps: Sequence[Step]) -> Step:
    """All of them, as a sweep in a loop does."""
    return lambda: [step() for step in steps]


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


@dataclass
class Peak:
    bytes: int = 0


@contextmanager
def peak_memory() -> Iterator[Peak]:
    """The most memory taken inside a `with`, over what was taken before: the GPU's where there is one."""
    peak = Peak()
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
def threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
