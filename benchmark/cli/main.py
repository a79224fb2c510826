"""The command line: a thin skin over the functions beside it. Heavy imports wait until a command needs them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from ..store import finished
from ..store.tracking import LOCAL, Tracker, finished_keys, tracking_uri

if TYPE_CHECKING:
    import pandas as pd

    from ..ranking.leaderboard import Format
    from ..running.executors import Executor, Settings
    from ..running.session import Outcome
    from ..suite.sweep import Suite

app = typer.Typer(
    help="rrrbench: plants shortcuts in data, trains networks with mitigations, and says which ones work.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

new = typer.Typer(help="Writes the starting file of a mitigation or a dataset.", no_args_is_help=True)
submit = typer.Typer(help="Checks a mitigation from outside the tree.", no_args_is_help=True)
app.add_typer(new, name="new")
app.add_typer(submit, name="submit")
REPRODUCED = Path("results/reproduced")

SuiteName = Annotated[str, typer.Argument(help="A suite's name (see `rrrbench list`) or the path of a TOML file.")]
Out = Annotated[Path | None, typer.Option(help="Write to this file instead of the terminal.")]


class Kind(StrEnum):
    suites = "suites"
    datasets = "datasets"
    networks = "networks"
    mitigations = "mitigations"
    explainers = "explainers"
    metrics = "metrics"


class RuleName(StrEnum):
    knee = "knee"
    val_iid = "val_iid"
    val_swap = "val_swap"
    oracle = "oracle"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class EngineName(StrEnum):
    auto = "auto"
    stacked = "stacked"
    compiled = "compiled"
    single = "single"


class ExecutorName(StrEnum):
    here = "here"
    processes = "processes"
    ray = "ray"


class BoardFormat(StrEnum):
    table = "table"
    csv = "csv"
    md = "md"
    tex = "tex"


class RecordsFormat(StrEnum):
    csv = "csv"
    parquet = "parquet"


COUNTERFACTUALS = "counterfactuals"
"""The one suite that is no TOML file: it explains, and compares no mitigations."""
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of MNIST/, FashionMNIST/, npz files …; else RRRBENCH_DATA, else a cache."),
]
DeviceOption = Annotated[Device, typer.Option(help="Where to train.")]
EngineOption = Annotated[EngineName, typer.Option(help="How a stack is trained; the numbers are the same.")]
ExecutorOption = Annotated[
    ExecutorName, typer.Option(help="Where: in this process; in one a core, or one a GPU; on a Ray cluster.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="How many stacks at once, if not here.")]
Address = Annotated[str | None, typer.Option(help="Of a Ray cluster, or auto; else Ray is started here.")]
RuleOption = Annotated[RuleName, typer.Option(help="How one strength is chosen from a sweep; oracle is a bound.")]


@app.command("list")
def list_known(kind: Annotated[Kind | None, typer.Argument(help="Only these.")] = None) -> None:
    """Lists suites, datasets, networks, mitigations with paper, needs and stages, explainers, and metrics."""
    from tabulate import tabulate

    for title in [kind] if kind else Kind:
        typer.secho(title.value, bold=True)
        header, *rows = _entries(title)
        typer.echo(tabulate(rows, header, "simple", disable_numparse=True) + "\n")


def _entries(kind: Kind) -> Iterator[tuple[str, ...]]:
    """A header, then a row an entry."""
    from ...datasets.recipe import datasets
    from ...methods.base import mitigations
    from ...methods.explainers.base import explainers
    from .. import suites
    from ..conformance.small import needs_convolutions
    from ..metrics.base import metrics
    from ..networks import networks
    from ..suite.loading import load_suite

    def first_line(text: str | None) -> str:
        return (text or "").strip().split("\n")[0]

    match kind:
        case Kind.mitigations:
            yield "name", "paper", "needs", "stages", "what it does"
            for name in mitigations.names():
                entry = mitigations.resolve(name)
                needs = [*sorted(entry.needs)]
                needs += [need for need, needed in (("convolutions", needs_convolutions(entry)),
                                                    ("a minority", entry.needs_minority)) if needed]  # fmt: skip
                yield name, entry.paper, ", ".join(needs), str(entry.stages), first_line(type(entry).__doc__)
        case Kind.suites:
            yield "name", "what it runs"
            yield from ((name, first_line(load_suite(name).description)) for name in suites.names())
            yield COUNTERFACTUALS, "explainers that change letters until the prediction changes; knows why it did"
        case Kind.metrics:
            yield "name", "meaning"
            yield from ((metric.id, metric.meaning) for metric in metrics())
        case _:
            registry = {"datasets": datasets, "networks": networks, "explainers": explainers}[kind.value]
            yield "name", "what it is"
            yield from ((name, first_line(registry[name].__doc__)) for name in registry.names())


@app.command()
def run(
    suite: SuiteName,
    data_root: DataRoot = None,
    device: DeviceOption = Device.auto,
    engine: EngineOption = EngineName.auto,
    executor: ExecutorOption = ExecutorName.here,
    workers: Workers = None,
    address: Address = None,
    rule: RuleOption = RuleName.knee,
) -> None:
    """Runs a suite: trains what is not finished, logs it to MLflow, and prints the leaderboard.

    Interrupt it as you like: the same command goes on where it was.
    """
    if data_root is not None:
        os.environ["RRRBENCH_DATA"] = str(data_root.absolute())
    if suite == COUNTERFACTUALS:
        with _explained():
            if executor is not ExecutorName.here:
                raise ValueError(f"{COUNTERFACTUALS} runs in this process: leave out --executor {executor.value}")
            from ..counterfactuals import track

            typer.echo(track.run(_torch_device(device)))
        return
    uri = tracking_uri()
    if (summary := finished.recall(suite, uri, rule)) is not None:
        typer.echo(summary)
        return
    with _explained():
        from ..suite.loading import load_suite

        loaded = load_suite(suite)
        settings = _settings(device, engine, executor)
        outcome = _trained(loaded, uri, settings, _executor(executor, workers, address))
    summary = _report(loaded, uri, rule)
    typer.echo(summary)
    if _complain(outcome):
        raise typer.Exit(1)
    finished.remember(suite, uri, rule, loaded.keys(), summary)


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="Whose numbers: the name of a file in results/published.")],
    seeds: Annotated[int | None, typer.Option(min=1, help="At most so many of each sweep's seeds.")] = None,
    max_minutes: Annotated[float, typer.Option(min=0, help="Begin no further stack after so many.")] = math.inf,
    data_root: DataRoot = None,
    device: DeviceOption = Device.auto,
    engine: EngineOption = EngineName.auto,
    executor: ExecutorOption = ExecutorName.processes,
    workers: Workers = None,
    address: Address = None,
) -> None:
    """Runs a paper's own protocol and prints published beside measured, with a verdict (RULES.md).

    Writes results/reproduced/PAPER.csv and .md, or PAPER-part.* where a table of more runs stands. Interrupt it as you
    like: the same command goes on where it was.
    """
    if data_root is not None:
        os.environ["RRRBENCH_DATA"] = str(data_root.absolute())
    uri, begin, outcome = tracking_uri(), time.monotonic(), None
    with _explained():
        from ..ranking import reproduce as reproduction

        rows = reproduction.published(paper)
        suite = reproduction.suite_of(paper, seeds)
        there, absent = reproduction.available(suite)
        for label, reason in absent.items():
            typer.secho(f"not run: {label}: {reason}", fg="yellow", err=True)
        if there is not None:
            settings = _settings(device, engine, executor)
            outcome = _trained(there, uri, settings, _executor(executor, workers, address), max_minutes)
    recorded = Tracker(uri, suite.name).records(suite.keys())
    recorded = recorded[recorded["status"] != "failed"]
    table = reproduction.join(rows, suite, recorded)
    written = reproduction.write(paper, table, suite, recorded, REPRODUCED)
    typer.echo(reproduction.render(table, dim=lambda text: typer.style(text, fg="bright_black")))
    if there is not None and (left := reproduction.left(there, recorded)):
        typer.secho(f"runs are left in {', '.join(left)}: the same command goes on with them", fg="yellow", err=True)
    typer.echo(
        f"{reproduction.summary(table)}; {len(recorded)} of {len(suite.keys())} runs recorded, "
        f"{(time.monotonic() - begin) / 60:.1f} minutes now\nwrote {written} and {written.with_suffix('.md')}"
    )
    if outcome is not None and _complain(outcome):
        raise typer.Exit(1)


@app.command()
def records(
    suite: SuiteName,
    format: Annotated[RecordsFormat, typer.Option(help="csv or parquet (which needs --out).")] = RecordsFormat.csv,
    out: Out = None,
) -> None:
    """Writes the flat rows of a suite: one a run, with a column a metric; parquet has what `report` needs, too."""
    with _explained():
        if format is RecordsFormat.parquet:
            from ..report.recorded import recorded

            whole = recorded(suite, tracking_uri())
            if out is None:
                raise ValueError("parquet is not text: say where to with --out FILE")
            whole.runs.to_parquet(out, index=False, compression="zstd")
        else:
            _write(_load(suite)[1].to_csv(index=False), out)


@app.command()
def leaderboard(
    suite: SuiteName,
    rule: RuleOption = RuleName.knee,
    format: Annotated[BoardFormat, typer.Option(help="table for the terminal, csv with everything, md, tex.")] = (
        BoardFormat.table
    ),
    out: Out = None,
) -> None:
    """Ranks the mitigations of a suite, each at the strength that the rule chooses; or a suite's explainers."""
    with _explained():
        loaded, rows = _load(suite)
        _write(_ranked(loaded, rows, rule)(format.value), out)


@app.command()
def report(
    suites: Annotated[list[str], typer.Argument(help="Suites, or files of `rrrbench records --format parquet`.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")],
) -> None:
    """Writes static pages: leaderboard, pictures, and a page a run; they open from the disk, offline."""
    with _explained():
        from ..report.recorded import recorded
        from ..report.site import write_site

        write_site([recorded(suite, tracking_uri()) for suite in suites], out, LOCAL.parent)
    typer.echo(f"wrote {out}/index.html")


@new.command("mitigation")
def new_mitigation(name: Annotated[str, typer.Argument(help="Lower case, with underscores.")]) -> None:
    """Writes NAME.py in this folder: a mitigation that runs, with what is yours to write marked."""
    from .. import starting

    with _explained():
        typer.echo(
            f"wrote {starting.write('mitigation', name, Path())}: edit it, then `rrrbench submit check {name}.py`"
        )


@new.command("dataset")
def new_dataset(name: Annotated[str, typer.Argument(help="Lower case, with underscores.")]) -> None:
    """Writes NAME.py in this folder: a dataset that renders, with what is yours to write marked."""
    from .. import starting

    with _explained():
        path = starting.write("dataset", name, Path())
    typer.echo(f"wrote {path}: edit it, then put it into rrrbench's datasets/, or name it in an entry point")


@submit.command("check")
def submit_check(path: Annotated[Path, typer.Argument(help="A Python file with one mitigation class.")]) -> None:
    """Holds a mitigation to the laws, measures it with the quick suite, and writes PATH's row, a JSON file beside it.

    Where the row is there already, it is measured again and compared: that is what CI does with a pull request.
    """
    with _explained():
        from ..conformance import submission

        submitted = submission.load(path)
        recorded = submission.Row.read(submitted.row_path) if submitted.row_path.exists() else None
        broken = 0
        for title, problem in submitted.broken_laws():
            typer.echo(f"{'broken' if problem else 'holds ':6}  law {title}" + (f": {problem}" if problem else ""))
            broken += bool(problem)
        if broken:
            raise submission.Refused(f"{submitted.mitigation.id} breaks {broken} laws: nothing was trained")
        row = submitted.measured(tracking_uri())
        if recorded is None:
            submitted.row_path.write_text(row.model_dump_json(indent=2) + "\n")
            typer.echo(f"wrote {submitted.row_path}: a pull request adds both files under results/submissions/")
        else:
            submission.compare(recorded, row)
            typer.echo(f"{submitted.row_path} is repeated here")


def _settings(device: Device, engine: EngineName, executor: ExecutorName) -> Settings:
    from ..running.executors import Settings

    ray = executor is ExecutorName.ray  # the cluster's devices are not this machine's
    return Settings(device.value if ray else _torch_device(device), engine.value)


def _trained(suite: Suite, uri: str, settings: Settings, executor: Executor, minutes: float = math.inf) -> Outcome:
    """What a session of the suite did; exits with 130 if it was interrupted."""
    from ..running.session import Session

    session = Session(suite, uri, settings, executor=executor, minutes=minutes)
    try:
        return session.run()
    except KeyboardInterrupt:
        have = len(finished_keys(uri) & set(suite.keys()))
        typer.secho(
            f"\ninterrupted: {have} of {len(suite.keys())} runs are recorded; the same command goes on from there",
            err=True,
        )
        raise typer.Exit(130) from None


def _load(name: str) -> tuple[Suite, pd.DataFrame]:
    from ..report.recorded import flat
    from ..suite.loading import load_suite

    suite = load_suite(name)
    return suite, flat(suite, Tracker(tracking_uri(), suite.name))


def _ranked(suite: Suite, rows: pd.DataFrame, rule: str) -> Callable[[Format], str]:
    """A suite's explainers by how they follow reliance, or its mitigations by how they fare, to be rendered."""
    from ..ranking import explainer_board, leaderboard

    if suite.explainers:
        return partial(explainer_board.render, explainer_board.explainer_board(rows), rows)
    board, left_out = leaderboard.leaderboard(rows, rule), leaderboard.unranked(rows, rule)
    return partial(leaderboard.render, board, left_out=left_out)


def _report(suite: Suite, uri: str, rule: str) -> str:
    """Writes leaderboard.csv, leaderboard.md and the suite's picture; the text for the terminal."""
    from ..report.curves import save, sweep_figure

    rows = Tracker(uri, suite.name).records(suite.keys())
    if rows.empty:
        return "no run is recorded"
    LOCAL.mkdir(parents=True, exist_ok=True)
    render = _ranked(suite, rows, rule)
    for form in ("csv", "md"):
        (LOCAL / f"leaderboard.{form}").write_text(render(form))
    lines = [render("table")]
    if (rows.status == "finished").any():
        save(sweep_figure(rows, f"{suite.name}: mean and 95 % bootstrap interval over seeds"), LOCAL / suite.name)
        _summarise(suite, uri, rows, rule)
    done = int((rows.status != "failed").sum())
    lines.append(
        f"{done} of {len(suite.keys())} runs recorded in {uri}\n"
        f"wrote {LOCAL}/leaderboard.csv, {LOCAL}/leaderboard.md and {LOCAL}/{suite.name}.png"
    )
    return "\n".join(lines)


def _summarise(suite: Suite, uri: str, rows: pd.DataFrame, rule: str) -> None:
    """What MLflow's own page shows of the suite and of each sweep; it may be away, for nothing is read from there."""
    from mlflow.exceptions import MlflowException
    from tqdm import tqdm

    from ..report.curves import save, sweep_figure
    from ..report.points import settings

    keys = {(stack.dataset.with_masks().id, stack.network.id): stack.sweep_key for stack in suite.stacks()}
    tracker = Tracker(uri, suite.name)
    with suppress(MlflowException), TemporaryDirectory() as folder:
        tracker.describe(suite.description)
        for dataset, network, runs in tqdm(list(settings(rows)), desc="MLflow's pictures", disable=None):
            stem = Path(folder) / "over-strength"
            save(sweep_figure(runs, "mean and 95 % bootstrap interval over seeds"), stem, [".png"])
            tracker.summarise(keys[dataset, network], _ranked(suite, runs, rule)("md"), stem.with_suffix(".png"))


def _complain(outcome: Outcome) -> bool:
    """Says on the error stream what went wrong; whether anything did."""
    for record in outcome.failed:
        reason = record.error.strip().splitlines()[-1]
        where = (
            f"{record.dataset} {record.network} {record.mitigation} strength {record.strength:.3g} seed {record.seed}"
        )
        typer.secho(f"failed: {where}: {reason}", fg="red", err=True)
    if outcome.failed:
        typer.secho(f"{len(outcome.failed)} failed runs; their tracebacks are in MLflow, run again to retry", err=True)
    if outcome.undelivered:
        typer.secho(
            f"some records wait in {LOCAL}/outbox ({outcome.undelivered}); nothing is lost, run again to log them",
            fg="red",
            err=True,
        )
    return bool(outcome.failed or outcome.undelivered)


@contextmanager
def _explained() -> Iterator[None]:
    """Errors that a user can mend become one message and exit code 2; others keep their traceback."""
    try:
        yield
    except (ValueError, LookupError, OSError) as error:
        message = error.args[0] if isinstance(error, KeyError) else error
        typer.secho(f"error: {message}", fg="red", err=True)
        raise typer.Exit(2) from error


def _torch_device(device: Device) -> str:
    import torch

    if device is Device.cuda and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device; use --device cpu")
    if device is Device.auto:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device.value


def _executor(name: ExecutorName, workers: int | None, address: str | None) -> Executor:
    if address is not None and name is not ExecutorName.ray:
        raise ValueError(f"--address {address} is a Ray cluster's: add --executor ray")
    match name:
        case ExecutorName.here:
            from ..running.executors.here import Here

            if workers is not None:
                raise ValueError(f"--workers {workers} needs --executor processes or ray")
            return Here()
        case ExecutorName.processes:
            from ..running.executors.processes import Processes

            return Processes(workers)
        case ExecutorName.ray:
            from ..running.executors.cluster import Cluster

            return Cluster(address, workers)


def _write(text: str, out: Path | None) -> None:
    typer.echo(text) if out is None else out.write_text(text)
