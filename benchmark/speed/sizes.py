"""What suites of 10², 10³ and 10⁴ runs cost without their training: `python -m rrrbench.benchmark.speed.sizes`.

Made-up records go through the store, the leaderboard and the pages; the numbers of `make speed` are these.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from tabulate import tabulate
from tqdm import tqdm

from ..ranking.boards import board_of
from ..report.recorded import recorded_as
from ..report.site import write_site
from ..store.frames import flat
from ..store.records import RecordStore
from .made_up import made_up, suite_of
from .table import SIZES as HEADER
from .table import Figure
from .timing import peak_memory

SIZES = (100, 1000, 10_000)
BEND = 12
"""How many times as long ten times as many runs may take: a straight line, and what timing is off by."""


@dataclass(frozen=True)
class Size:
    """What so many runs cost: seconds, and MiB on disk and at the peak in memory."""

    runs: int
    written: float
    records: float
    read: float
    leaderboard: float
    pages: float
    site: float
    memory: float

    def row(self) -> list[str]:
        _, *numbers = astuple(self)
        units = ("s", "MiB", "s", "s", "s", "MiB", "MiB")
        return [f"{self.runs:,}", *(f"{number:.1f} {unit}" for number, unit in zip(numbers, units, strict=True))]


def measured(runs: int) -> Size:
    """Pushes so many runs through the store, the leaderboard and the pages, in a folder that is removed again."""
    suite = suite_of(runs)
    records = [made_up(stack, *place) for stack in suite.stacks() for place in stack.places().values()]
    with TemporaryDirectory() as name:
        home, site = Path(name, "home"), Path(name, "site")
        store = RecordStore(home)
        written = _seconds(lambda: [store.put(record) for record in records])
        del records
        with peak_memory() as memory:
            read = _seconds(lambda: flat(store.all(suite.keys())))
            rows = flat(store.all(suite.keys()))
            leaderboard = _seconds(lambda: board_of(suite, rows, "knee")("table"))
            pages = _seconds(lambda: write_site([recorded_as(suite, store.all(suite.keys()), home)], site, home))
        return Size(
            runs, written, _mebibytes(home / "records"), read, leaderboard, pages, _mebibytes(site),
            memory.bytes / 2**20,
        )  # fmt: skip


def straight(sizes: list[Size]) -> Iterator[Figure]:
    """How many times as long the largest size takes as the size before it, which has a tenth of its runs."""
    fewer, more = sizes[-2:]
    for name in ("written", "read", "leaderboard", "pages"):
        took, longer = getattr(fewer, name), getattr(more, name)
        yield Figure(
            f"{more.runs:,} runs / {fewer.runs:,} runs, {name}", "at most", BEND, [longer / took],
            note=f"once; {longer:.1f} s over {took:.1f} s",
        )  # fmt: skip


def _seconds(what: Callable[[], object]) -> float:
    begin = time.perf_counter()
    what()
    return time.perf_counter() - begin


def _mebibytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def main(sizes: Annotated[list[int] | None, typer.Argument(help="How many runs: multiples of 100.")] = None) -> None:
    """Prints the table."""
    rows = [measured(runs).row() for runs in tqdm(sizes or SIZES, "sizes", leave=False)]
    typer.echo(tabulate(rows, HEADER, "pipe", disable_numparse=True))


if __name__ == "__main__":
    typer.run(main)
