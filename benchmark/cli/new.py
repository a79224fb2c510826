"""`rrrbench new`: starting files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained

app = typer.Typer(help="Writes the starting file of a mitigation or a dataset.", no_args_is_help=True)


@app.command("mitigation", epilog="Example: rrrbench new mitigation my_penalty")
def mitigation(name: Annotated[str, typer.Argument(help="Lower case, with underscores.")]) -> None:
    """Writes NAME.py in this folder: a mitigation that runs, with what is yours to write marked."""
    from .. import starting

    with explained():
        path = starting.write("mitigation", name, Path())
    typer.echo(f"wrote {path}: edit it, then `rrrbench submit check {path}`")


@app.command("dataset", epilog="Example: rrrbench new dataset my_data")
def dataset(name: Annotated[str, typer.Argument(help="Lower case, with underscores.")]) -> None:
    """Writes NAME.py in this folder: a dataset that renders, with what is yours to write marked."""
    from .. import starting

    with explained():
        path = starting.write("dataset", name, Path())
    typer.echo(f"wrote {path}: edit it, then put it into rrrbench's datasets/, or name it in an entry point")
