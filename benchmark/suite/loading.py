"""Loads a suite by its name or from a TOML file; errors say where and why."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

from pydantic import BaseModel, ValidationError

from ...datasets.glyphs import GlyphsRecipe
from ...datasets.registry import UnknownName, nearest
from .. import suites
from .explanation import CounterfactualSweep
from .sweep import MitigationSweep, Suite, Sweep, Units
from .training import Training

LONGEST_NAME = 200
"""Characters of a name in a message."""
LISTS = {
    "seeds": "seeds = [0, 1, 2]",
    "strengths": "strengths = [0.1, 1.0]",
    "controls": 'controls = ["wrong", 25]',
    "explainers": 'explainers = ["dive"] under [[counterfactuals]], explainers = ["gradient"] above [[sweeps]]',
    "sweeps": "a table [[sweeps]] for each sweep",
    "mitigations": "a table [[sweeps.mitigations]] for each mitigation",
    "counterfactuals": "a table [[counterfactuals]] for each sweep",
}
"""How the lists of a suite are written, for messages."""


class BadSuite(ValueError):
    """A suite file that cannot be run; the message says where and why."""


def load_suite(name_or_path: str) -> Suite:
    """Loads a suite by its name, or from a TOML file.

    Raises:
        UnknownName: no suite, dataset, network or mitigation has this name.
        BadSuite: TOML that does not parse, unknown keys, wrong types, values outside their range.
    """
    path = suites.path_of(name_or_path)
    if not _is_file(path):
        name = name_or_path if len(name_or_path) <= LONGEST_NAME else f"{name_or_path[:LONGEST_NAME]}…"
        wanted = f"there is no suite {name!r}" + (" at that path" if name_or_path.endswith(".toml") else "")
        raise UnknownName(f"{wanted}: give the path of a TOML file, or a name; {nearest(name, suites.names())}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadSuite(f"{path}: not UTF-8 ({error}): save it in UTF-8, as TOML is written") from error
    except (ValueError, RecursionError) as error:  # of TOML, of a number with thousands of digits
        raise BadSuite(f"{path}: not TOML: {error}") from error
    return parse_suite({"name": path.stem, **content}, str(path))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for a file
        return False


def parse_suite(content: Mapping[str, Any], origin: str) -> Suite:
    """Validates parsed TOML as a suite; errors name `origin`."""
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise BadSuite(f"{origin}: " + "\n  ".join(_problems(error))) from error
    except UnknownName as error:
        raise UnknownName(f"{origin}: {error}") from error


def _problems(error: ValidationError) -> list[str]:
    """Describes every mistake in a line; leaves out containers that are wrong only because of their contents."""
    details = error.errors()
    locations = [detail["loc"] for detail in details]
    return [
        _problem(detail)
        for detail in details
        if not any(_lies_within(location, detail["loc"]) for location in locations)
    ]


def _lies_within(location: tuple[int | str, ...], container: tuple[int | str, ...]) -> bool:
    return len(location) > len(container) and location[: len(container)] == container


def _problem(detail: Any) -> str:
    location, given = ".".join(str(part) for part in detail["loc"]), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{location} is not a key; {nearest(str(detail['loc'][-1]), _known_keys(detail['loc']))}"
    value = f" (got {shorten(repr(given), 80)})" if isinstance(given, str | int | float) else ""
    message = _message(detail["type"], str(detail["loc"][-1]) if detail["loc"] else "", detail["msg"])
    return f"{location}: {message}{value}" if location else f"{message}{value}"


def _message(kind: str, key: str, message: str) -> str:
    """What is wrong, and how the value is written."""
    written = f", e.g. {LISTS[key]}" if key in LISTS else ""
    match kind:
        case "tuple_type":
            return f"expected a list{written or ', in brackets'}"
        case "too_short":
            return f"expected a list of at least 1 item{written}"
        case "missing":
            return f"{message}{written}"
        case "model_type":
            return "expected a table of keys and values"
        case _:
            return message.removeprefix("Value error, ")


def _known_keys(location: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Suite
    nested: dict[str, type[BaseModel]] = {
        **{"sweeps": Sweep, "mitigations": MitigationSweep, "training": Training, "units": Units},
        **{"counterfactuals": CounterfactualSweep, "dataset": GlyphsRecipe},
    }
    for part in location[:-1]:
        model = nested.get(str(part), model)
    return list(model.model_fields)
