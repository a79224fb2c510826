"""A suite from its name or its TOML file, with errors that say where and why."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from ...datasets.registry import UnknownName, nearest
from .. import suites
from .sweep import MitigationSweep, Suite, Sweep, Units
from .training import Training


class BadSuite(ValueError):
    """A suite file that cannot be run as it is; the message says where and why."""


def load_suite(name_or_path: str) -> Suite:
    """A suite by name, or from a TOML file.

    Raises:
        UnknownName: no such suite, dataset, network or mitigation.
        BadSuite: TOML that does not parse, unknown keys, wrong types, values outside their range.
    """
    path = suites.path_of(name_or_path)
    if not path.is_file():
        wanted = f"there is no suite {name_or_path!r}" + (" at that path" if path.suffix in name_or_path else "")
        raise UnknownName(f"{wanted}; {nearest(name_or_path, suites.names())}")
    try:
        content = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadSuite(f"{path}: not TOML: {error}") from error
    return parse_suite({"name": path.stem, **content}, str(path))


def parse_suite(content: Mapping[str, Any], origin: str) -> Suite:
    """A suite from its parsed TOML; `origin` is named in errors."""
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise BadSuite(f"{origin}: " + "\n  ".join(_problems(error))) from error
    except UnknownName as error:
        raise UnknownName(f"{origin}: {error}") from error


def _problems(error: ValidationError) -> list[str]:
    """One line a mistake; a container that is wrong because something in it is gets none."""
    details = error.errors()
    places = [detail["loc"] for detail in details]
    return [
        _problem(detail)
        for detail in details
        if not any(len(place) > len(detail["loc"]) and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _problem(detail: Any) -> str:
    place, given = ".".join(str(part) for part in detail["loc"]), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{place} is not a key; {nearest(str(detail['loc'][-1]), _known_keys(detail['loc']))}"
    value = f" (got {given!r})" if isinstance(given, str | int | float) else ""
    return f"{place}: {detail['msg'].removeprefix('Value error, ')}{value}"


def _known_keys(location: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Suite
    nested = {"sweeps": Sweep, "mitigations": MitigationSweep, "training": Training, "units": Units}
    for part in location[:-1]:
        model = nested.get(str(part), model)
    return list(model.model_fields)
