"""`rrrbench submit`: mitigations from outside the tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from .check import Shown
from .errors import INTERRUPTED, explained
from .options import Device, DeviceOption, ExecutorName, Workers
from .paths import submitted_file
from .running import executor_of, say_interrupted, settings_of

if TYPE_CHECKING:
    from ..conformance.submission import Measured

app = typer.Typer(help="Checks a mitigation from outside the tree.", no_args_is_help=True)
Minutes = Annotated[float, typer.Option(min=0, help="Refuse a file that is not measured after so many.")]
File = Annotated[
    Path,
    typer.Argument(parser=submitted_file, metavar="FILE", help="A Python file with one mitigation class, or its row."),
]
NOT_OURS = ("MLFLOW_TRACKING_URI", "RRRBENCH_HOME")
"""Where finished runs may be that a stranger made: a row that is repeated is measured without them."""


@app.callback()
def submissions() -> None:
    """Checks a mitigation from outside the tree."""


@app.command("check")
def check(
    path: File,
    max_minutes: Minutes = 60,
    device: DeviceOption = "auto",
    executor: ExecutorName = "here",
    workers: Workers = None,
) -> None:
    """Begins as `rrrbench check FILE`, measures the mitigation with the quick suite, and writes its row beside FILE.

    Says what it will cost before it trains, and prints the row between ERM's and RRR's. Interrupt it as you like: the
    same command goes on where it was.

    Where the row is there already, everything is trained again and compared with it. The file runs with your rights, in
    a process of its own that is no sandbox: read a stranger's file before you check it.
    """
    with explained():
        _checked(path, max_minutes, device, executor, workers)


@app.command("changed")
def changed(
    base: Annotated[str, typer.Argument(help="A revision of git, such as origin/main.")], max_minutes: Minutes = 60
) -> None:
    """Checks every submission whose file or row differs from BASE: what CI does with a pull request."""
    with explained():
        from ..conformance.changed import changed

        files = changed(base)
        for file in files:
            _checked(file, max_minutes)
    typer.echo(f"{len(files)} submissions differ from {base}")


def _checked(
    path: Path, minutes: float, device: Device = "auto", executor: str = "here", workers: int | None = None
) -> None:
    from ...datasets.own_code import Refused
    from ..conformance import measuring, submission
    from ..store.home import home

    file = path.with_suffix(".py") if path.suffix == ".json" else path
    row_path = file.with_suffix(".json")
    if not file.is_file():
        if row_path.exists():
            raise Refused(f"{row_path} is a row without its file: add {file.name}, or remove the row")
        raise FileNotFoundError(f"there is no file {file}: `rrrbench new mitigation NAME` writes a starting file")
    where = executor_of(executor, workers)
    how = measuring.How(settings_of(device, where).device, where.resolved())
    if not row_path.exists():
        with _resumable(home()) as announce:
            measured = measuring.measure(file, home(), minutes, Shown().add, how=how, announce=announce)
        row_path.write_text(measured.row.model_dump_json(indent=2) + "\n")
        typer.echo(_between(measured))
        typer.echo(f"wrote {row_path}: a pull request adds both files under results/submissions/")
        return
    recorded = submission.Row.read(row_path)
    env = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    with TemporaryDirectory() as fresh:
        measured = measuring.measure(file, Path(fresh), minutes, Shown().add, env, how, _announce)
    submission.compare(recorded, measured.row)
    typer.echo(f"{row_path} is repeated here")


def _announce(lines: list[str], keys: list[str]) -> None:
    typer.echo("\n".join(lines), err=True)


@contextmanager
def _resumable(folder: Path) -> Iterator[Callable[[list[str], list[str]], None]]:
    """Ctrl-C says how many runs are kept; within, the function that announces the runs."""
    from ..store.records import RecordStore

    runs: list[str] = []

    def announce(lines: list[str], keys: list[str]) -> None:
        runs.extend(keys)
        _announce(lines, keys)

    try:
        yield announce
    except KeyboardInterrupt:
        if not runs:
            raise
        say_interrupted(len(RecordStore(folder).finished(runs)), len(runs))
        raise typer.Exit(INTERRUPTED) from None


def _between(measured: Measured) -> str:
    """The submission's rows between ERM's and RRR's, a table a dataset."""
    import pandas as pd

    from ..ranking.rendering import render_mitigations

    erm, rrr = ([row for row in measured.beside if row["mitigation"] == name] for name in ("erm", "rrr"))
    return render_mitigations(pd.DataFrame([*erm, *measured.row.results, *rrr]))
