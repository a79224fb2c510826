"""`rrrbench records`, `leaderboard`, `report`: what is in the folder of results, without training anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .errors import explained
from .options import Json, Out, RuleOption, SuiteName, With, load_own
from .paths import folder_to_write

if TYPE_CHECKING:
    import pandas as pd

    from ..suite.sweep import Suite

RecordsFormat = Literal["csv", "parquet"]
BoardFormat = Literal["table", "csv", "md", "tex"]


def records(
    suite: SuiteName,
    format: Annotated[RecordsFormat, typer.Option(help="csv, or parquet, which needs --out.")] = "csv",
    as_json: Json = False,
    out: Out = None,
    own: With = None,
) -> None:
    """Writes the flat rows of a suite: a row a run, with a column a metric; parquet has what `report` needs, too.

    Beside FILE.parquet, the folder FILE.pictures has the saliency panels.
    """
    with explained():
        load_own(own)
        if as_json or format == "csv":
            from ..ranking.inert import csv, json_rows

            _write((json_rows if as_json else csv)(_rows(suite)[1]), out)
            return
        if out is None:
            raise ValueError("parquet is not text: say where to with --out FILE")
        from ..report.recorded import write_recorded

        write_recorded(suite, out)


def leaderboard(
    suite: SuiteName,
    rule: RuleOption = "knee",
    format: Annotated[BoardFormat, typer.Option(help="table for the terminal, csv with everything, md, tex.")] = (
        "table"
    ),
    as_json: Json = False,
    out: Out = None,
    own: With = None,
) -> None:
    """Ranks the mitigations of a suite, each at the strength that the rule chooses; or a suite's explainers."""
    with explained():
        from ..ranking.boards import board_of

        load_own(own)
        loaded, rows = _rows(suite)
        _write(board_of(loaded, rows, rule)("json" if as_json else format), out)


def report(
    suites: Annotated[list[str], typer.Argument(help="Suites, or files of `rrrbench records --format parquet`.")],
    out: Annotated[Path, typer.Option(parser=folder_to_write, metavar="FOLDER", help="The folder to write.")],
    own: With = None,
) -> None:
    """Writes static pages: leaderboard, pictures, and a page a run; they open from the disk, offline."""
    with explained():
        from ..report.recorded import recorded
        from ..report.site import write_site
        from ..store.home import results

        load_own(own)
        write_site([recorded(suite) for suite in suites], out, results())
    typer.echo(f"wrote {out}/index.html")


def _rows(name: str) -> tuple[Suite, pd.DataFrame]:
    from ..report.recorded import rows_of
    from ..suite.loading import load_suite

    suite = load_suite(name)
    return suite, rows_of(suite, name)


def _write(text: str, out: Path | None) -> None:
    typer.echo(text) if out is None else out.write_text(text)
