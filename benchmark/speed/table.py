"""The tables that `make speed` prints, as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from tabulate import tabulate

from .timing import ROUNDS


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


SIZES = ("runs", "written", "records", "read", "leaderboard", "pages", "pages on disk", "peak memory")


def report(
    figures: Sequence[Figure],
    stacks: list[list[str]],
    inputs: list[list[str]],
    sizes: list[list[str]],
    operators: list[list[str]],
    small: list[list[str]],
) -> str:
    """All tables, each below the sentence that says what it shows."""
    return "\n\n".join(
        [
            f"# Speed on {_machine()}",
            "Made by `make speed`. Ratios of two things timed in turns in one process: "
            f"median (least to greatest) of {ROUNDS}.",
            _markdown(["figure", "reach", "measured", "met", "beside it"], [figure.row() for figure in figures]),
            "RRR, batch 256: one step of all runs. The engine takes the faster way.",
            _markdown(["network", "runs", "one after another", "stacked", "stacked, peak memory"], stacks),
            "RRR, mlp, 8 strengths, batch 256; one epoch, and its share for one input and run.",
            _markdown(["inputs", "epoch", "input and run", "peak memory"], inputs),
            "Made-up records of so many runs, 100 a sweep, through the store, the leaderboard and the pages.",
            _markdown(SIZES, sizes),
            *(_operators(operators) if operators else ()),
            "A traced step of 8 mlps with batches of 8: its parts, and the floor that dispatching sets.",
            _markdown(["part", "operations", "time", "time of an operation"], small),
        ]
    )


def _operators(rows: list[list[str]]) -> list[str]:
    title = "Where a step of lenet goes: batch 256, 1 thread, by torch.profiler, whose own cost is in it."
    return [title, _markdown(["operator", "RRR", "ERM", "ratio"], rows)]


def _machine() -> str:
    processors = f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.machine()}"
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return f"{gpu}{processors}, torch {torch.__version__}"


def _markdown(header: Sequence[str], rows: list[list[str]]) -> str:
    return tabulate(rows, list(header), "pipe", disable_numparse=True)
