"""`rrrbench run`, `reproduce`, `log`: training, and what is delivered to MLflow."""

from __future__ import annotations

import math
import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..store.home import home, results, tell_of_version_0_1
from ..store.server import tracking_uri
from . import recall
from .errors import explained
from .options import (
    Address,
    DataRoot,
    Device,
    DeviceOption,
    Engine,
    EngineOption,
    ExecutorName,
    RuleOption,
    SuiteName,
    With,
    Workers,
    load_own,
)

if TYPE_CHECKING:
    from ..running.executors import Executor, Settings
    from ..running.session import Outcome
    from ..store.mirror import Undelivered
    from ..suite.sweep import Suite


def run(
    suite: SuiteName,
    own: With = None,
    data_root: DataRoot = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    executor: ExecutorName = "here",
    workers: Workers = None,
    address: Address = None,
    rule: RuleOption = "knee",
) -> None:
    """Runs a suite: trains what is not finished, keeps it, shows it in MLflow, and prints the leaderboard.

    Interrupt it as you like: the same command goes on where it was.
    """
    _data_root(data_root)
    folder = home()
    tell_of_version_0_1(folder)
    uri = tracking_uri(folder)
    if (table := recall.table(suite, folder, uri, rule, own or ())) is not None:
        typer.echo(table)
        return
    with explained():
        from ..report.conclusion import conclude
        from ..suite.loading import load_suite

        load_own(own)
        loaded = load_suite(suite)
        where = _executor(executor, workers, address)
        outcome = _trained(loaded, folder, _settings(device, engine, executor), where)
        table, unshown = conclude(loaded, folder, uri, rule, away=outcome.undelivered.reason)
    typer.echo(table)
    if _complain(outcome, unshown, suite):
        raise typer.Exit(1)
    if outcome.files is not None:
        recall.remember(suite, folder, uri, rule, loaded.keys(), table, outcome.files, own or ())


def reproduce(
    paper: Annotated[str, typer.Argument(help="Whose numbers: the name of a file in results/published.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="At most so many of each sweep's seeds.")] = None,
    max_minutes: Annotated[float, typer.Option(min=0, help="Begin no further stack after so many.")] = math.inf,
    only: Annotated[
        str | None, typer.Option(help="One cell, as the pages name it: its runs alone, and no file.")
    ] = None,
    own: With = None,
    data_root: DataRoot = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "auto",
    executor: ExecutorName = "processes",
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Runs a paper's own protocol and prints published beside measured, with a verdict (RULES.md).

    Writes results/reproduced/PAPER.csv and .md, or PAPER-part.* where a table of more runs stands. Interrupt it as you
    like: the same command goes on where it was.
    """
    _data_root(data_root)
    folder, begin, outcome = home(), time.monotonic(), None
    tell_of_version_0_1(folder)
    with explained():
        from ..ranking.cells import rows_of_cell, suite_of_cell
        from ..ranking.join import join_runs, sweeps_left
        from ..ranking.published import available, published_by, suite_of
        from ..report.reproduction import render_reproduction, verdicts_in_words, write_reproduction
        from ..store.frames import flat
        from ..store.records import RecordStore

        load_own(own)
        published = published_by(paper)
        suite = suite_of(paper, seeds)
        if only is not None:
            published = rows_of_cell(published, only)
            suite = suite_of_cell(published[0], suite)
        there, absent = available(suite)
        for label, reason in absent.items():
            typer.secho(f"not run: {label}: {reason}", fg="yellow", err=True)
        if there is not None:
            where = _executor(executor, workers, address)
            outcome = _trained(there, folder, _settings(device, engine, executor), where, max_minutes)
        runs = flat(list(RecordStore(folder).finished(suite.keys()).values()))
        table = join_runs(published, suite, runs)
        written = None if only else write_reproduction(paper, table, suite, runs, results() / "reproduced")
    typer.echo(render_reproduction(table, dim=lambda text: typer.style(text, fg="bright_black")))
    if there is not None and (left := sweeps_left(there, runs)):
        typer.secho(f"runs are left in {', '.join(left)}: the same command goes on with them", fg="yellow", err=True)
    typer.echo(
        f"{verdicts_in_words(table)}; {len(runs)} of {len(suite.keys())} runs recorded, "
        f"{(time.monotonic() - begin) / 60:.1f} minutes now"
    )
    if written is not None:
        typer.echo(f"wrote {written} and {written.with_suffix('.md')}")
    if outcome is not None and _complain(outcome, "", f"reproduce/{paper}"):
        raise typer.Exit(1)


def log(
    suite: SuiteName,
    to: Annotated[str | None, typer.Option(help="The tracking server; else MLFLOW_TRACKING_URI, else mlflow.db.")] = (
        None
    ),
    own: With = None,
) -> None:
    """Delivers a suite's records to MLflow: those that the server lacks, nothing twice, with tables and pictures."""
    with explained():
        from ..report.conclusion import deliver
        from ..suite.loading import load_suite

        load_own(own)
        loaded, folder = load_suite(suite), home()
        uri = to or tracking_uri(folder)
        delivered, undelivered, unshown = deliver(loaded, suite, folder, uri)
    if _complain_of_mlflow(undelivered, unshown, suite, "the same command" if to else ""):
        raise typer.Exit(1)
    typer.echo(delivered)


def _trained(suite: Suite, folder: Path, settings: Settings, executor: Executor, minutes: float = math.inf) -> Outcome:
    """What a session of the suite did; exits with 130 if it was interrupted."""
    from ..running.session import Session

    session = Session(suite, folder, settings=settings, executor=executor, minutes=minutes)
    try:
        outcome = session.run()
    except KeyboardInterrupt:
        have = len(session.store.finished(suite.keys()))
        typer.secho(
            f"\ninterrupted: {have} of {len(suite.keys())} runs are recorded; the same command goes on from there",
            err=True,
        )
        raise typer.Exit(130) from None
    if outcome.of_earlier_files:
        typer.secho(
            f"{outcome.of_earlier_files} finished runs are of an earlier content of the weights' file or of --with: "
            "another content is another run, so they are kept, and not shown here",
            fg="yellow",
            err=True,
        )
    return outcome


def _complain(outcome: Outcome, unshown: str, suite: str) -> bool:
    """Says on the error stream what went wrong; whether anything did."""
    for record in outcome.failed:
        reason = record.error.strip().splitlines()[-1]
        where = (
            f"{record.dataset} {record.network} {record.mitigation} strength {record.strength:.3g} seed {record.seed}"
        )
        typer.secho(f"failed: {where}: {reason}", fg="red", err=True)
    if outcome.failed:
        said = f"{len(outcome.failed)} failed runs; their tracebacks are in {home()}/failed, run again to retry"
        typer.secho(said, fg="red", err=True)
    not_in_mlflow = _complain_of_mlflow(outcome.undelivered, unshown, suite)
    return bool(outcome.failed) or not_in_mlflow


def _complain_of_mlflow(undelivered: Undelivered, unshown: str, suite: str, command: str = "") -> bool:
    """Says what is not in MLflow yet, and which command delivers it; whether anything is not."""
    if not undelivered and not unshown:
        return False
    what = f"{len(undelivered)} records" if undelivered else "the tables"
    reason = str(undelivered) or unshown
    command = command or f"`rrrbench log {shlex.quote(suite)}`"
    typer.secho(
        f"{what} of {suite} are not in MLflow ({reason}); nothing is lost: {command} delivers them",
        fg="red",
        err=True,
    )
    return True


def _settings(device: Device, engine: Engine, executor: str) -> Settings:
    from ..running.executors import Settings

    ray = executor == "ray"  # the cluster's devices are not this machine's
    return Settings(device if ray else _torch_device(device), engine)


def _torch_device(device: Device) -> str:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device; use --device cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


def _executor(name: str, workers: int | None, address: str | None) -> Executor:
    from ..running.executors import executors

    given = {"workers": workers, "address": address}
    return executors.resolve({"name": name, **{key: value for key, value in given.items() if value is not None}})


def _data_root(folder: Path | None) -> None:
    if folder is not None:
        os.environ["RRRBENCH_DATA"] = str(folder.absolute())
