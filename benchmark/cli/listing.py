"""`rrrbench list`: the names of everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from .errors import explained
from .options import Json, With, load_own

if TYPE_CHECKING:
    from ..suite.sweep import Suite

Kind = Literal["suites", "datasets", "planters", "networks", "mitigations", "explainers", "metrics", "executors"]
UNMEASURED = "not measured"
FORECAST = (
    "`rrrbench run NAME --dry-run` says about how long the suite takes on this machine (of counterfactual explainers "
    "nothing can say it)"
)
"""Below the suites, where one has no minutes in `suites/minutes.csv`."""


def list_known(
    kind: Annotated[Kind | None, typer.Argument(help="Only this kind.")] = None,
    own: With = None,
    as_json: Json = False,
) -> None:
    """Lists suites with data, runs and minutes, mitigations with paper, needs and stages, and whatever has a name."""
    with explained():
        load_own(own)
        tables = {title: list(_entries(title)) for title in ([kind] if kind else get_args(Kind))}
    if as_json:
        typer.echo(json.dumps({title: list(_as_objects(*table)) for title, table in tables.items()}, indent=2))
        return
    from tabulate import tabulate

    for title, (header, *rows) in tables.items():
        typer.secho(title, bold=True)
        unknown = UNMEASURED if title == "suites" else "-"
        typer.echo(tabulate(rows, list(map(str, header)), "simple", disable_numparse=True, missingval=unknown))
        if title == "suites" and any(None in row for row in rows):
            typer.echo(f"\n{UNMEASURED}: {FORECAST}")
        typer.echo()


def _as_objects(header: tuple[Any, ...], *rows: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield dict(zip(header, row, strict=True))


def _entries(kind: Kind) -> Iterator[tuple[str | float | None, ...]]:
    """A header, then a row an entry."""
    from ...datasets.planter import planters
    from ...datasets.recipe import datasets
    from ...datasets.registry import names_of
    from ...methods.base import mitigations
    from ...methods.explainers.base import explainers
    from .. import suites
    from ..conformance.small import needs_convolutions
    from ..metrics.base import metrics
    from ..networks import networks
    from ..running.executors import executors
    from ..suite.loading import load_suite

    match kind:
        case "mitigations":
            yield "name", "paper", "needs", "stages", "published strength", "what it does"
            for name in mitigations.names():
                entry = mitigations.resolve(name)
                needs = [*sorted(entry.needs)]
                needs += [need for need, needed in (("convolutions", needs_convolutions(entry)),
                                                    ("a minority", entry.needs_minority)) if needed]  # fmt: skip
                published = entry.published_strength
                yield (
                    name,
                    entry.paper,
                    ", ".join(needs),
                    str(entry.stages),
                    published if published is None else f"{published:.3g}",
                    _first_line(type(entry).__doc__),
                )
        case "suites":
            minutes = suites.minutes()
            yield "name", "data", "runs", "minutes on 2 cores", "what it runs"
            for name in suites.names():
                suite = load_suite(name)
                runs, about = len(suite.keys()), minutes.get(name)
                yield name, _data_of(suite), runs, about, _first_line(suite.description)
        case "metrics":
            yield "id", "better", "range", "chance", "meaning"
            for metric in metrics:
                yield metric.id, metric.better, f"{metric.low} to {metric.high}", metric.chance, metric.meaning
        case "planters":
            yield "name", "parameters", "what it paints into the images of `planted`"
            for name in planters.names():
                own = [field for field in names_of(planters[name]) if field not in ("correlation", "values", "told")]
                yield name, ", ".join(own), _first_line(planters[name].__doc__)
        case _:
            registries = {"datasets": datasets, "networks": networks, "explainers": explainers, "executors": executors}
            registry = registries[kind]
            yield "name", "what it is"
            yield from ((name, _first_line(registry[name].__doc__)) for name in registry.names())


def _data_of(suite: Suite) -> str:
    """What a suite's datasets are read from, and whether it is missing; `-` for data that come with rrrbench."""
    named: dict[str, bool] = {}
    for sweep in suite.sweeps:
        dataset = sweep.dataset
        source = next((str(getattr(dataset, name)) for name in ("base", "file", "root") if hasattr(dataset, name)), "")
        if source not in ("", "digits"):
            named[source.removeprefix("npz:")] = bool(dataset.files())
    return ", ".join(source if there else f"{source} (missing)" for source, there in sorted(named.items())) or "-"


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
