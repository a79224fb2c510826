"""`rrrbench check`: a file's mitigation, network, dataset, explainer or metric, held to its laws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import explained
from .paths import python_file

if TYPE_CHECKING:
    from ..conformance.file_laws import Checked


File = Annotated[
    Path, typer.Argument(parser=python_file, metavar="FILE", help="A Python file that registers what is to be checked.")
]


Seconds = Annotated[float, typer.Option(min=0, help="Refuse a file that is not checked after so many.")]


def check(path: File, max_seconds: Seconds = 120) -> None:
    """Holds what a file registers to the laws of its kind, in seconds; ends with status 1 if a law is broken.

    The file is imported, in a process of its own that is no sandbox: check only files whose code you would run. A file
    that cannot be checked, ends its process, or takes too long, ends the command with status 2.
    """
    with explained():
        from ..conformance.checking import watched

        shown = Shown()
        for law in watched(path, max_seconds, warn):
            shown.add(law)
    if shown.broken:
        typer.echo(f"{shown.broken} broken: docs/design.md says what the laws are", err=True)
        raise typer.Exit(1)


def warn(message: str) -> None:
    typer.secho(f"warning: {message}", fg="yellow", err=True)


class Shown:
    """Prints the laws of a file as they are checked, a line each, below a line for each thing that has the laws."""

    def __init__(self) -> None:
        self.broken = 0
        self._above: tuple[str, str] | None = None

    def add(self, checked: Checked) -> None:
        kind, name, law, problem = checked
        if self._above != (kind, name):
            typer.echo(f"{kind} {name}")
        self._above, self.broken = (kind, name), self.broken + bool(problem)
        typer.echo(f"  {'broken' if problem else 'holds ':6}  {law}" + (f": {problem}" if problem else ""))
