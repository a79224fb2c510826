"""`rrrbench run`, `reproduce`, `log`: training, and what is delivered to MLflow."""

from __future__ import annotations

import math
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..store.home import home, results, tell_of_version_0_1
from ..store.server import require_address, tracking_uri
from . import recall
from .errors import INTERRUPTED, explained
from .options import (
    Address,
    DataRoot,
    Device,
    DeviceOption,
    DryRun,
    Engine,
    EngineOption,
    ExecutorName,
    Quiet,
    RuleOption,
    SuiteName,
    With,
    Workers,
    load_own,
    use_data_root,
)

if TYPE_CHECKING:
    from ..running.executors import Executor, Settings
    from ..running.forecast import Forecast
    from ..running.session import Outcome, Session
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
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Runs a suite: trains what is not finished, keeps it, shows it in MLflow, and prints the leaderboard.

    Interrupt it as you like: the same command goes on where it was.
    """
    use_data_root(data_root)
    folder = home()
    tell_of_version_0_1(folder)
    uri = tracking_uri(folder)
    if dry_run:
        with explained():
            from ..suite.loading import load_suite

            load_own(own)
            where = executor_of(executor, workers, address)
            forecast = _session(load_suite(suite), folder, settings_of(device, where, engine), where).forecast()
        typer.echo("\n".join(forecast.lines()))
        return
    if (table := recall.table(suite, folder, uri, rule, own or ())) is not None:
        typer.echo(table)
        return
    with explained():
        from ..report.conclusion import conclude
        from ..suite.loading import load_suite

        load_own(own)
        loaded = load_suite(suite)
        where = executor_of(executor, workers, address)
        outcome = _trained(_session(loaded, folder, settings_of(device, where, engine), where, quiet=quiet))
        table, unshown = conclude(loaded, folder, uri, rule, away=outcome.undelivered.reason)
    typer.echo(table)
    if _complain(outcome, unshown, suite):
        raise typer.Exit(1)
    if outcome.files is not None:
        recall.remember(suite, loaded.name, folder, uri, rule, loaded.keys(), table, outcome.files, own or ())


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
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Runs a paper's own protocol and prints published beside measured, with a verdict (RULES.md).

    Writes results/reproduced/PAPER.csv and .md, or PAPER-part.* where a table of more runs stands. Interrupt it as you
    like: the same command goes on where it was.
    """
    use_data_root(data_root)
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
            where = executor_of(executor, workers, address)
            settings = settings_of(device, where, engine)
            session = _session(there, folder, settings, where, max_minutes, quiet)
            if dry_run:
                typer.echo("\n".join(session.forecast().lines()))
            else:
                outcome = _trained(session)
        if dry_run:
            return
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
        uri = tracking_uri(folder) if to is None else require_address(to)
        delivered, undelivered, unshown = deliver(loaded, suite, folder, uri)
    if _complain_of_mlflow(undelivered, unshown, suite, "the same command" if to else ""):
        raise typer.Exit(1)
    typer.echo(delivered)


def _session(
    suite: Suite, folder: Path, settings: Settings, executor: Executor, minutes: float = math.inf, quiet: bool = False
) -> Session:
    from ..running.session import Session

    def tell(forecast: Forecast) -> None:
        if not quiet:
            typer.echo("\n".join(forecast.lines()), err=True)

    return Session(suite, folder, settings=settings, executor=executor, minutes=minutes, tell=tell, quiet=quiet)


def _trained(session: Session) -> Outcome:
    """What a session did; exits with 130 if it was interrupted."""
    try:
        outcome = session.run()
    except KeyboardInterrupt:
        runs = session.suite.keys()
        say_interrupted(len(session.store.finished(runs)), len(runs))
        raise typer.Exit(INTERRUPTED) from None
    if outcome.of_earlier_files:
        typer.secho(
            f"{outcome.of_earlier_files} finished runs are of an earlier content of the weights' file or of --with: "
            "another content is another run, so they are kept, and not shown here",
            fg="yellow",
            err=True,
        )
    return outcome


def say_interrupted(recorded: int, runs: int) -> None:
    """Says on the error stream that nothing is lost."""
    said = f"\ninterrupted: {recorded} of {runs} runs are recorded; the same command goes on from there"
    typer.secho(said, err=True)


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


def settings_of(device: Device, executor: Executor, engine: Engine = "auto") -> Settings:
    """How stacks are trained; a cluster's devices are not this machine's.

    Raises:
        ValueError: there is no such device.
    """
    from ..running.device import torch_device
    from ..running.executors import Settings

    return Settings(device if executor.elsewhere else torch_device(device), engine)


def executor_of(name: str, workers: int | None, address: str | None = None) -> Executor:
    """Where stacks are trained.

    Raises:
        UnknownName, BadParameters: as `executors.resolve`.
    """
    from ..running.executors import executors

    given = {"workers": workers, "address": address}
    return executors.resolve({"name": name, **{key: value for key, value in given.items() if value is not None}})
