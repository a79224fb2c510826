"""Holds what a file registers to the laws of its kind, by the functions that the tests use."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ...datasets.own_code import Refused, imported
from ...datasets.recipe import datasets
from ...datasets.registry import BadParameters, Discovered, Registry
from ...methods.base import mitigations
from ...methods.explainers.base import explainers
from ..metrics.base import metrics
from ..networks import networks
from . import dataset_laws, explainer_laws, metric_laws, network_laws
from .laws import laws as mitigation_laws
from .place import place_in
from .violation import Violation

Laws = Mapping[str, Callable[[Any], None]]


class Entry(NamedTuple):
    """Something that a file registers, with the laws of its kind."""

    kind: str
    value: Any
    laws: Laws

    @property
    def id(self) -> str:
        return str(getattr(self.value, "id", getattr(self.value, "name", self.value)))


class Contents(NamedTuple):
    """A file's module, and what it registers."""

    path: Path
    module: ModuleType
    entries: list[Entry]


Begin = Callable[[Entry, str], object]


class Checked(NamedTuple):
    """A law of an entry, and why it does not hold; an empty problem if it holds."""

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


def checked(path: Path, begin: Begin = lambda entry, law: None) -> Iterator[Checked]:
    """Every law of everything that the file registers, with why it does not hold; then forgets what it registered.

    Args:
        begin: is given each law before it is checked.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: the file registers nothing, or cannot be imported.
    """
    with ExitStack() as forgotten:
        for registry in REGISTRIES.values():
            forgotten.enter_context(registry.temporary())
        file = contents(path)
        if not file.entries:
            raise Refused(f"{path} registers no {', '.join(REGISTRIES)}: decorate a class, `@networks.register`")
        yield from held(file, begin)


def contents(path: Path, importing: Callable[[Path], ModuleType] = imported) -> Contents:
    """Lists the entries that a file registers. The file is imported, unless it is a file of this package.

    Args:
        importing: how; `own_code.load_module` where the file's runs are trained too.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: the file cannot be imported, or an entry of it cannot be made without parameters.
    """
    known = {kind: set(registry.names()) for kind, registry in REGISTRIES.items()}
    module, own = next(iter(_modules_of(path)), None), _of_file(path, known)
    if module is None or not own:
        module = importing(path)
        own = [(kind, name) for kind, was in known.items() for name in REGISTRIES[kind].names() if name not in was]
    try:
        return Contents(path, module, [_entry(kind, name) for kind, name in own])
    except BadParameters as error:
        raise Refused(f"{path}: {error}: only what can be made without parameters is held to laws") from error


def held(file: Contents, begin: Begin = lambda entry, law: None) -> Iterator[Checked]:
    """Holds every entry of a file to every law of its kind.

    Args:
        begin: is given each law before it is checked.
    """
    for entry in file.entries:
        for law, holds in entry.laws.items():
            begin(entry, law)
            yield Checked(entry.kind, entry.id, law, _problem(holds, entry.value, file.path))


def _problem(law: Callable[[Any], None], entry: object, path: Path) -> str:
    """Why a law does not hold; empty if it holds."""
    try:
        law(entry)
    except Violation as violation:
        return str(violation)
    except SystemExit as error:
        return f"SystemExit: it calls sys.exit({error.code!r}): remove the call"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of the entry itself
        return f"it raises {type(error).__name__}: {error}{place_in(error, path)}"
    return ""


def _modules_of(path: Path) -> Iterator[ModuleType]:
    """The imported modules of the package that stand in this file."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.startswith("rrrbench.") and file and Path(file).resolve() == path.resolve():
            yield module


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


def _entry(kind: str, name: str) -> Entry:
    laws: Mapping[str, Callable[[], Laws]] = {
        "network": network_laws.laws,
        "dataset": dataset_laws.laws,
        "explainer": explainer_laws.laws,
        "metric": metric_laws.laws,
    }
    registry = REGISTRIES[kind]
    value = registry.resolve(name) if isinstance(registry, Registry) else registry[name]
    return Entry(kind, value, mitigation_laws(value) if kind == "mitigation" else laws[kind]())
