"""Arguments and options that several commands take."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from .. import suites
from ..running.device import Device as Device
from .paths import file_to_write, folder_to_write

Engine = Literal["auto", "stacked", "compiled", "single"]
Rule = Literal["knee", "val_iid", "val_swap", "oracle"]

SuiteName = Annotated[
    str,
    typer.Argument(
        help="A suite's name (see `rrrbench list`) or the path of a TOML file.",
        autocompletion=lambda incomplete: [name for name in suites.names() if name.startswith(incomplete)],
    ),
]
Out = Annotated[
    Path | None, typer.Option(parser=file_to_write, metavar="FILE", help="Write to this file instead of the terminal.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        parser=folder_to_write,
        metavar="FOLDER",
        help="Folder of MNIST/, FashionMNIST/, npz files …; else RRRBENCH_DATA, else a cache.",
    ),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to train.")]
EngineOption = Annotated[Engine, typer.Option(help="How a stack is trained; the numbers are the same up to rounding.")]
ExecutorName = Annotated[
    str,
    typer.Option(
        help="Where stacks are trained: here, in this process; processes, a process a core or GPU; auto, whichever of "
        "the two is expected to be faster; ray; slurm."
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="How many stacks at once, if not here.")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto; else Ray is started here.")]
With = Annotated[
    list[Path] | None,
    typer.Option(
        "--with", help="A Python file whose datasets, networks, mitigations the suite names; it is run. Repeatable."
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be run, how long it takes and what is missing; no more.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but results and errors: no forecast, no bar.")]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
RuleOption = Annotated[Rule, typer.Option(help="How a strength is chosen from a sweep; oracle is a bound.")]


def load_own(files: list[Path] | None) -> None:
    """Loads the files of `--with`, for this process and for those that an executor starts.

    Raises:
        FileNotFoundError, Refused: as `own_code.load`.
    """
    if files:
        from ...datasets.own_code import load

        load(files)


def use_data_root(folder: Path | None) -> None:
    """Lets recipes of this process, and of those that it starts, look for files in the folder of `--data-root`."""
    if folder is not None:
        os.environ["RRRBENCH_DATA"] = str(folder.absolute())
