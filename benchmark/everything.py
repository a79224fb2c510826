"""The committed leaderboards, records, reproduced tables and pages, made anew: `make everything`.

Each step is commands that a user could type. It can be begun again: runs that are finished are not trained again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from tabulate import tabulate

from . import suites

SUITES = (
    *("mitigations-quick", "controls-quick", "shortcuts-quick", "two-shortcuts", "fading-core", "colored-patch-cifar"),
    "rivals-lenet",
    *("explainers", "explainers-mnist", "counterfactuals", "decoy-mnist-mitigations", "reproduce/ghitu2025-as-meant"),
    "reproduce/viviano2021-as-meant",
)
WITHOUT_RECORDS = ("explainers", "explainers-mnist", "counterfactuals", "decoy-mnist-mitigations")
"""Suites of which tables are committed, and no records."""
PAPERS_WITH_RECORDS = ("ross2017",)
"""Papers of which the runs behind the numbers are committed."""
RESULTS = Path("results")


@dataclass(frozen=True)
class Step:
    """Commands that make some of the committed files.

    Attributes:
        name: of the suite or paper.
        commands: after `rrrbench`, in order.
        minutes: on two cores; None if nobody has measured them.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    minutes: float | None = None


def steps() -> list[Step]:
    """Suites, then papers, then the pages, which show both."""
    minutes = suites.minutes()
    own = [Step(name, _of_suite(name), minutes.get(name)) for name in SUITES]
    papers = sorted(path.stem for path in (RESULTS / "published").glob("*.csv"))
    own += [Step(paper, _of_paper(paper), minutes.get(f"reproduce/{paper}")) for paper in papers]
    recorded = [*(name for name in SUITES if name not in WITHOUT_RECORDS), *PAPERS_WITH_RECORDS]
    records = [str(_records(name)) for name in recorded]
    return [*own, Step("pages", (("report", *records, "--out", str(RESULTS / "site")),))]


def _of_suite(name: str) -> tuple[tuple[str, ...], ...]:
    table = RESULTS / "leaderboard" / Path(name).name
    commands: list[tuple[str, ...]] = [("run", name, "--executor", "auto")]
    commands += [("leaderboard", name, "--format", form, "--out", f"{table}.{form}") for form in ("md", "csv")]
    if name not in WITHOUT_RECORDS:
        commands.append(_writing(name))
    return tuple(commands)


def _of_paper(paper: str) -> tuple[tuple[str, ...], ...]:
    recorded = [_writing(f"reproduce/{paper}")] if paper in PAPERS_WITH_RECORDS else []
    return ("reproduce", paper), *recorded


def _writing(name: str) -> tuple[str, ...]:
    return "records", name, "--format", "parquet", "--out", str(_records(name))


def _records(name: str) -> Path:
    return RESULTS / "records" / f"{Path(name).name}.parquet"


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Names of steps; by default all.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Prints the steps alone.")] = False,
) -> None:
    """Runs the steps in order, in the repository's folder. A step that fails is named, and the others go on."""
    chosen = [step for step in steps() if not only or step.name in only]
    if unknown := set(only or ()) - {step.name for step in chosen}:
        raise typer.BadParameter(f"no step is called {', '.join(sorted(unknown))}: --dry-run lists the steps")
    typer.echo(_table(chosen))
    failed = [] if dry_run else [step.name for step in chosen if not _done(step)]
    if failed:
        typer.echo(f"not made: {', '.join(failed)}; the same command goes on with them", err=True)
        raise typer.Exit(1)


def _table(chosen: list[Step]) -> str:
    rows = [(step.name, "not measured" if step.minutes is None else f"{step.minutes:g}") for step in chosen]
    table = tabulate(rows, ("step", "minutes on 2 cores"), disable_numparse=True)
    return f"{table}\nEach suite and paper says how long it takes here before it begins."


def _done(step: Step) -> bool:
    """Whether all commands of a step ended well; the first that does not ends the step."""
    program = str(Path(sys.executable).parent / "rrrbench")
    for command in step.commands:
        typer.echo(f"\n{step.name}: rrrbench {shlex.join(command)}")
        if subprocess.run([program, *command], check=False).returncode:
            return False
    return True


if __name__ == "__main__":
    typer.run(main)
