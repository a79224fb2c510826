"""Names to classes: a file in the package's folder is all it takes to add an entry."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import ValidationError

from .as_written import AsWritten
from .own_code import digest_of


class UnknownName(LookupError):
    """A name that no registry entry has; the message lists the nearest ones."""


class BadParameters(ValueError):
    """Parameters that an entry does not take, or values outside their range."""


class Named(AsWritten):
    """A frozen, named set of parameters: the fields are the schema, and unknown ones are refused.

    Attributes:
        version: part of every run key. Raise it when a default or the rule changes; a new field needs no new version.
        source: SHA-256 of the file that was loaded by `--with` and has the class; part of the run key too.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    source: ClassVar[str] = ""

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        super().__pydantic_init_subclass__(**options)
        cls.source = digest_of(cls.__module__)

    @property
    def id(self) -> str:
        """The name, with the parameters that differ from their defaults: `rrr[target=predicted]`."""
        shown = self.shown()
        inner = ",".join(f"{key}={shown[key]}" for key in sorted(shown)).replace(" ", "")
        return f"{self.name}[{inner}]" if inner else self.name

    def shown(self) -> dict[str, Any]:
        """The parameters in `id`: those that differ from their defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def resolved(self) -> dict[str, Any]:
        """Every parameter, defaults included: what a record shows, and what `Registry.resolve` takes."""
        return {"name": self.name, **self.model_dump(mode="json")}

    def identity(self) -> dict[str, Any]:
        """Name, version, and the parameters that differ from the version's defaults: what a run key is made from.

        For a class of a file that was loaded by `--with`, also the file's digest: a changed file is another thing.
        """
        own = {"source": self.source} if self.source else {}
        changed = self.model_dump(mode="json", exclude_defaults=True)
        return {"name": self.name, "version": self.version, **own, **changed}


E = TypeVar("E")
T = TypeVar("T", bound=Named)
C = TypeVar("C", bound=Named)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that ends an error about an unknown name."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(names)}"


class Discovered(Generic[E]):
    """Entries of one kind by name: those that the modules of `package` add when imported, then installed entry points'.

    Args:
        kind: what an entry is called in errors, e.g. `dataset`.
        package: the package whose modules are imported, and the group of the entry points.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, E] = {}
        self._discovered = False

    def names(self) -> list[str]:
        """Every known name, sorted."""
        self._discover()
        return sorted(self._entries)

    def __getitem__(self, name: str) -> E:
        self._discover()
        if name not in self._entries:
            raise UnknownName(f"no {self.kind} is called {name!r}; {nearest(name, self._entries)}")
        return self._entries[name]

    @contextmanager
    def temporary(self) -> Iterator[None]:
        """Forgets, at the end of the block, every entry that was added within it: for tests and notebooks."""
        self._discover()
        before = dict(self._entries)
        try:
            yield
        finally:
            self._entries = before

    def _load(self, point: EntryPoint) -> None:
        """Adds what an installed entry point names."""
        raise NotImplementedError

    def _discover(self) -> None:
        if self._discovered:
            return
        self._discovered = True
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        for point in entry_points(group=self.package):
            self._load(point)


class Registry(Discovered[type[T]]):
    """The classes of one kind: an entry is a class, and becomes an instance with its parameters."""

    def register(self, entry: type[C]) -> type[C]:
        """Class decorator: makes the entry known under its `name`; in place of itself, if its file is loaded anew.

        Raises:
            ValueError: another class has that name.
        """
        taken = self._entries.get(entry.name, entry)
        if (taken.__module__, taken.__qualname__) != (entry.__module__, entry.__qualname__):
            raise ValueError(
                f"two {self.kind}s are named {entry.name!r}: {taken.__module__} and {entry.__module__}; rename one"
            )
        self._entries[entry.name] = entry  # pyrefly: ignore
        return entry

    def resolve(self, spec: str | Mapping[str, Any] | Any) -> T:
        """An entry with its parameters, from `"rrr"` or `{"name": "rrr", "target": "predicted"}`; an entry as it is.

        Raises:
            UnknownName: no entry has this name.
            BadParameters: no name, or the entry does not take these parameters.
        """
        if isinstance(spec, Named):
            return spec  # pyrefly: ignore
        if not isinstance(spec, str | Mapping):
            raise BadParameters(f"{self.kind} = {spec!r} is neither a name nor a table with a name: {self._example()}")
        parameters = {"name": spec} if isinstance(spec, str) else dict(spec)
        name = parameters.pop("name", None)
        if not isinstance(name, str):
            wrong = "there is no name" if name is None else f"name = {name!r} is no text"
            raise BadParameters(f"{self.kind} {spec!r}: {wrong}: {self._example()}")
        entry = self[name]
        try:
            return entry(**parameters)
        except ValidationError as error:
            problems = "; ".join(self._problem(entry, detail) for detail in error.errors())
            raise BadParameters(f"{self.kind} {entry.name!r}: {problems}") from error

    def _problem(self, entry: type[Named], detail: Mapping[str, Any] | Any) -> str:
        place = [
            str(part) for part in detail["loc"] if "[" not in str(part)
        ]  # the names of a union's members have brackets
        field = ".".join(place) or "parameters"
        if detail["type"] == "extra_forbidden":
            known = names_of(entry)
            owners = [name for name in self.names() if field in names_of(self[name])]
            elsewhere = f"; a parameter of {', '.join(owners)}" if owners else ""
            return f"{field!r} is not a parameter; {nearest(field, known) if known else 'it takes none'}{elsewhere}"
        if detail["type"] == "missing" and len(place) == 1:
            about = next(known for name, known in entry.model_fields.items() if field in (name, known.alias))
            return f"there is no {field}: give {field} = ..., {about.description or 'a parameter'}"
        reason = detail["msg"].removeprefix("Value error, ")
        return f"{field} = {detail['input']!r}: {reason}" if detail["loc"] else reason

    def _example(self) -> str:
        return f"known names are {', '.join(self.names())}"

    def _load(self, point: EntryPoint) -> None:
        self.register(point.load())


def names_of(entry: type[Named]) -> list[str]:
    """The names of an entry's parameters, as they are given."""
    return [field.alias or name for name, field in entry.model_fields.items()]
