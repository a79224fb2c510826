"""`rrrbench check`: a file's mitigation, network, dataset, explainer or metric, held to its laws."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained


def check(path: Annotated[Path, typer.Argument(help="A Python file that registers what is to be checked.")]) -> None:
    """Holds what a file registers to the laws of its kind, in seconds; ends with status 1 if a law is broken.

    The file is imported: check only files whose code you would run.
    """
    with explained():
        from ..conformance.file_laws import checked

        broken, shown = 0, ""
        for kind, name, law, problem in checked(path):
            if shown != name:
                typer.echo(f"{kind} {name}")
            shown, broken = name, broken + bool(problem)
            typer.echo(f"  {'broken' if problem else 'holds ':6}  {law}" + (f": {problem}" if problem else ""))
    if broken:
        typer.echo(f"{broken} broken: docs/design.md says what the laws are", err=True)
        raise typer.Exit(1)
