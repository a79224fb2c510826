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


def examples(*lines: str) -> str:
    """What stands below a command's options; `tests/benchmark/cli/test_examples.py` runs every line."""
    return "\n\n".join(["Examples:", *(f"rrrbench {line}" for line in lines)])


app.command("list", epilog=examples("list suites", "list mitigations --json"))(listing.list_known)
app.command("run", epilog=examples("run smoke --dry-run", "run smoke", "run my_suite.toml --with my_net.py"))(
    running.run
)
app.command("reproduce", epilog=examples('reproduce ross2017 --seeds 1 --only "decoy-mnist_60k/rrr/1000"'))(
    running.reproduce
)
app.command("log", epilog=examples("log smoke", "log smoke --to sqlite:///other.db"))(running.log)
app.command(
    "evaluate",
    epilog=examples(
        "evaluate my_net.py:build --dataset decoy-digits",
        "evaluate my_net.py:build --weights w.pt --dataset decoy-digits --name trained --figure looks.png",
    ),
)(evaluate.evaluate)
app.command("check", epilog=examples("check my_net.py"))(check.check)
app.command(
    "records", epilog=examples("records smoke --out smoke.csv", "records smoke --format parquet --out smoke.parquet")
)(showing.records)
app.command("leaderboard", epilog=examples("leaderboard smoke", "leaderboard smoke --rule val_iid --format md"))(
    showing.leaderboard
)
app.command("report", epilog=examples("report smoke --out site", "report smoke.parquet --out another_site"))(
    showing.report
)
app.command("ui", epilog=examples("ui --port 5001"))(ui.ui)
app.add_typer(new.app, name="new")
app.add_typer(submit.app, name="submit")
