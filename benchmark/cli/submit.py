"""`rrrbench submit`: mitigations from outside the tree."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from .check import Shown
from .errors import explained
from .paths import submitted_file

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
) -> None:
    """Begins as `rrrbench check FILE`, measures the mitigation with the quick suite, and writes its row beside FILE.

    Where the row is there already, everything is trained again and compared with it. The file runs with your rights, in
    a process of its own that is no sandbox: read a stranger's file before you check it.
    """
    with explained():
        _checked(path, max_minutes)


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


def _checked(path: Path, minutes: float) -> None:
    from ...datasets.own_code import Refused
    from ..conformance import measuring, submission
    from ..store.home import home

    file = path.with_suffix(".py") if path.suffix == ".json" else path
    row_path = file.with_suffix(".json")
    if not file.is_file():
        if row_path.exists():
            raise Refused(f"{row_path} is a row without its file: add {file.name}, or remove the row")
        raise FileNotFoundError(f"there is no file {file}: `rrrbench new mitigation NAME` writes a starting file")
    if not row_path.exists():
        row = measuring.measure(file, home(), minutes, Shown().add)
        row_path.write_text(row.model_dump_json(indent=2) + "\n")
        typer.echo(f"wrote {row_path}: a pull request adds both files under results/submissions/")
        return
    recorded = submission.Row.read(row_path)
    env = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    with TemporaryDirectory() as fresh:
        row = measuring.measure(file, Path(fresh), minutes, Shown().add, env)
    submission.compare(recorded, row)
    typer.echo(f"{row_path} is repeated here")
