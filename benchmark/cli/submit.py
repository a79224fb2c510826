"""`rrrbench submit`: mitigations from outside the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained

app = typer.Typer(help="Checks a mitigation from outside the tree.", no_args_is_help=True)


@app.callback()
def submissions() -> None:
    """Checks a mitigation from outside the tree."""


@app.command("check")
def check(path: Annotated[Path, typer.Argument(help="A Python file with one mitigation class.")]) -> None:
    """Holds a mitigation to the laws, measures it with the quick suite, and writes PATH's row, a JSON file beside it.

    Where the row is there already, it is measured again and compared: that is what CI does with a pull request.
    """
    with explained():
        from ..conformance import submission
        from ..store.home import home

        submitted = submission.load(path)
        recorded = submission.Row.read(submitted.row_path) if submitted.row_path.exists() else None
        broken = 0
        for title, problem in submitted.broken_laws():
            typer.echo(f"{'broken' if problem else 'holds ':6}  law {title}" + (f": {problem}" if problem else ""))
            broken += bool(problem)
        if broken:
            raise submission.Refused(f"{submitted.mitigation.id} breaks {broken} laws: nothing was trained")
        row = submitted.measured(home())
        if recorded is None:
            submitted.row_path.write_text(row.model_dump_json(indent=2) + "\n")
            typer.echo(f"wrote {submitted.row_path}: a pull request adds both files under results/submissions/")
        else:
            submission.compare(recorded, row)
            typer.echo(f"{submitted.row_path} is repeated here")
