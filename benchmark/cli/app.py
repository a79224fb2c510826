"""The command `rrrbench`: its groups, each of one file here. Heavy imports wait until a command needs them."""

from __future__ import annotations

from typing import Annotated

import typer

from . import check, evaluate, listing, new, running, showing, submit, ui

app = typer.Typer(
    help="rrrbench: plants shortcuts in data, trains networks with mitigations, and says which ones work.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _version(asked: bool | None) -> None:
    if asked:
        from importlib import metadata

        typer.echo(f"rrrbench {metadata.version('rrrbench')}")
        raise typer.Exit


Version = Annotated[
    bool | None,
    typer.Option("--version", callback=_version, is_eager=True, help="Say which rrrbench this is; no more."),
]


@app.callback()
def _options(version: Version = None) -> None:
    pass


app.command("list")(listing.list_known)
app.command("run")(running.run)
app.command("reproduce")(running.reproduce)
app.command("log")(running.log)
app.command("evaluate")(evaluate.evaluate)
app.command("check")(check.check)
app.command("records")(showing.records)
app.command("leaderboard")(showing.leaderboard)
app.command("report")(showing.report)
app.command("ui")(ui.ui)
app.add_typer(new.app, name="new")
app.add_typer(submit.app, name="submit")
