"""Holds what a file registers to the laws of its kind, by the functions that the tests use."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...datasets.own_code import Refused, imported
from ...datasets.recipe import datasets
from ...datasets.registry import Discovered
from ...methods.base import mitigations
from ...methods.explainers.base import explainers
from ..metrics.base import metrics
from ..networks import networks
from . import dataset_laws, explainer_laws, metric_laws, network_laws
from .laws import laws as mitigation_laws
from .violation import Violation


class Checked(NamedTuple):
    """A law, and why it does not hold; an empty problem if it holds."""

    kind: str
    name: str
    law: str
    problem: str


REGISTRIES: Mapping[str, Discovered[Any]] = {
    "mitigation": mitigations,
    "network": networks,
    "dataset": datasets,
    "explainer": explainers,
    "metric": metrics,
}


def checked(path: Path) -> Iterator[Checked]:
    """Every law of everything that the file registers, with why it does not hold.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: the file registers nothing, or cannot be imported.
    """
    with _registered(path) as entries:
        for kind, entry, laws in entries:
            name = getattr(entry, "id", getattr(entry, "name", str(entry)))
            for law, holds in laws.items():
                yield Checked(kind, name, law, _problem(holds, entry))


def _problem(law: Callable[[Any], None], entry: object) -> str:
    """Why a law does not hold; empty if it holds."""
    try:
        law(entry)
    except Violation as violation:
        return str(violation)
    except (Exception, SystemExit) as error:  # of the entry itself
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def _registered(path: Path) -> Iterator[list[tuple[str, Any, Mapping[str, Callable[[Any], None]]]]]:
    """What the file registers, by kind, with the laws that apply; forgotten afterwards, if it was not known before."""
    with ExitStack() as forgotten:
        for registry in REGISTRIES.values():
            forgotten.enter_context(registry.temporary())
        known = {kind: set(registry.names()) for kind, registry in REGISTRIES.items()}
        if not (own := _of_file(path, known)):
            imported(path)
            own = [(kind, name) for kind, was in known.items() for name in REGISTRIES[kind].names() if name not in was]
        if not own:
            raise Refused(f"{path} registers no {', '.join(REGISTRIES)}: decorate a class, `@networks.register`")
        yield [_with_laws(kind, name) for kind, name in own]


def _of_file(path: Path, known: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """The entries of the package itself that stand in this file."""

    def file_of(entry: Any) -> Path | None:
        source = entry if inspect.isclass(entry) else getattr(entry, "measure", None)
        file = None if source is None else sys.modules[source.__module__].__file__
        return None if file is None else Path(file).resolve()

    return [
        (kind, name) for kind, names in known.items() for name in sorted(names)
        if file_of(REGISTRIES[kind][name]) == path.resolve()
    ]  # fmt: skip


def _with_laws(kind: str, name: str) -> tuple[str, Any, Mapping[str, Callable[[Any], None]]]:
    match kind:
        case "mitigation":
            entry = mitigations.resolve(name)
            return kind, entry, mitigation_laws(entry)
        case "network":
            return kind, networks.resolve(name), network_laws.laws()
        case "dataset":
            return kind, datasets.resolve(name), dataset_laws.laws()
        case "explainer":
            return kind, explainers.resolve(name), explainer_laws.laws()
        case _:
            return kind, metrics[name], metric_laws.laws()
