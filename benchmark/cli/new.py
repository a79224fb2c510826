"""`rrrbench new`: starting files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained

app = typer.Typer(help="Writes the starting file of a mitigation, a dataset or a suite.", no_args_is_help=True)


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


@app.command("suite", epilog="Example: rrrbench new suite my_sweep")
def suite(name: Annotated[str, typer.Argument(help="Lower case, with underscores or hyphens.")]) -> None:
    """Writes NAME.toml in this folder: a suite that runs, a sweep over λ, with every key explained."""
    from .. import starting

    with explained():
        path = starting.write("suite", name, Path())
    typer.echo(f"wrote {path}: edit it, then `rrrbench run {path} --dry-run`")
