"""`rrrbench list`: the names of everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

import typer

from .errors import explained
from .options import With, load_own

Kind = Literal["suites", "datasets", "networks", "mitigations", "explainers", "metrics", "executors"]


def list_known(kind: Annotated[Kind | None, typer.Argument(help="Only this kind.")] = None, own: With = None) -> None:
    """Lists suites, datasets, networks, mitigations with paper, needs and stages, explainers, metrics, executors."""
    from tabulate import tabulate

    with explained():
        load_own(own)
        for title in [kind] if kind else get_args(Kind):
            header, *rows = _entries(title)
            typer.secho(title, bold=True)
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
    from ..running.executors import executors
    from ..suite.loading import load_suite

    match kind:
        case "mitigations":
            yield "name", "paper", "needs", "stages", "what it does"
            for name in mitigations.names():
                entry = mitigations.resolve(name)
                needs = [*sorted(entry.needs)]
                needs += [need for need, needed in (("convolutions", needs_convolutions(entry)),
                                                    ("a minority", entry.needs_minority)) if needed]  # fmt: skip
                yield name, entry.paper, ", ".join(needs), str(entry.stages), _first_line(type(entry).__doc__)
        case "suites":
            yield "name", "what it runs"
            yield from ((name, _first_line(load_suite(name).description)) for name in suites.names())
        case "metrics":
            yield "id", "better", "range", "chance", "meaning"
            for metric in metrics:
                yield metric.id, metric.better, f"{metric.low} to {metric.high}", metric.chance, metric.meaning
        case _:
            registries = {"datasets": datasets, "networks": networks, "explainers": explainers, "executors": executors}
            registry = registries[kind]
            yield "name", "what it is"
            yield from ((name, _first_line(registry[name].__doc__)) for name in registry.names())


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]
