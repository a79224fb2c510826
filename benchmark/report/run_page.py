"""The page of a run: its metrics, curves, picture and twins, and the suite that repeats it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import tomli_w

from ..store.frames import IDENTITY
from ..store.records import picture_name, strip_name
from ..suite.protocol import PROTOCOL_VERSION
from . import interactive
from .ranked_sweep import RankedSweep, run_page
from .recorded import BESIDE
from .sweep_page import json_for_script

if TYPE_CHECKING:
    from .twins import Twin


LOOKS = "mass_abs_over_chance/input_gradient"


def run_contents(sweep: RankedSweep, keys: set[str], out: Path) -> Iterator[tuple[str, dict[Any, Any]]]:
    """For each of these runs of a sweep, the address of its page and the values that the page's template shows."""
    runs = sweep.runs.sort_values(["mitigation", "masks", "strength", "seed"]).astype(object).to_dict("records")
    looked = {run["seed"]: run.get(LOOKS) for run in runs if run["mitigation"] == "erm"}
    measured = [name for name in sweep.runs if name not in (*IDENTITY, *BESIDE)]
    for _, group in groupby(runs, key=itemgetter("mitigation", "masks")):
        own = list(group)
        has_strength = any(run["strength"] > 0 for run in own)
        for run in (run for run in own if run["run_key"] in keys):
            metrics = {name: f"{run[name]:.4g}" for name in measured if run[name] == run[name]}
            content = _content(run, has_strength, out, sweep.foreign) | _others(run, own) | {"metrics": metrics}
            erm = looked.get(run["seed"])
            content["erm_looks"] = "" if erm is None or erm != erm else f"{erm:.4g}"
            yield run_page(run["run_key"]), content


def suite_file(configuration: dict[Any, Any], has_strength: bool) -> str:
    """A suite of a single run: its key is the run's key, because a key is of the configuration alone."""
    mitigation: dict[Any, Any] = {"mitigation": _without_version(configuration["mitigation"])}
    if has_strength:
        mitigation["strengths"] = [configuration["strength"]]
    sweep = {
        "dataset": _without_version(configuration["dataset"]),
        "network": _without_version(configuration["network"]),
        "training": configuration["training"],
        "mitigations": [mitigation],
    }
    explainers = [_without_version(explainer) for explainer in configuration.get("explainers", [])]
    suite = {"seeds": [configuration["seed"]], "explainers": explainers, "sweeps": [sweep]}
    return tomli_w.dumps(_without_none({name: value for name, value in suite.items() if value}))


def _suite_file(configuration: dict[Any, Any], has_strength: bool) -> str:
    """A suite of a single run; empty where the configuration is not whole."""
    try:
        return suite_file(configuration, has_strength)
    except (LookupError, TypeError, ValueError, AttributeError):
        return ""


def _content(run: dict[Any, Any], has_strength: bool, out: Path, foreign: bool) -> dict[Any, Any]:
    configuration, curves = json.loads(run["configuration"]), json.loads(run["curves"] or "{}")
    picture = out / "pictures" / run["sweep_key"] / picture_name(run["mitigation"], run["masks"])
    shown, reason = _twins(configuration, run, foreign)
    strip = picture.with_name(strip_name(run["run_key"]))
    return {
        "run": run,
        "of_this_protocol": run["protocol"] == PROTOCOL_VERSION,
        "configuration": json.dumps(configuration, indent=2),
        "has_strength": has_strength,
        "suite_file": _suite_file(configuration, has_strength),
        "curves": json_for_script(interactive.curves(curves)) if curves else "",
        "picture": quote(picture.relative_to(out).as_posix()) if picture.is_file() else "",
        "twins": shown,
        "no_twins": reason,
        "strip": quote(strip.relative_to(out).as_posix()) if strip.is_file() else "",
        "flips": json.loads(run["flips"] or "[]"),
    }


def _others(run: dict[Any, Any], own: Sequence[dict[Any, Any]]) -> dict[Any, Any]:
    """The pages of the runs that differ from a run in strength alone, and in the seed alone."""
    siblings = [(other["strength"], other["seed"], run_page(other["run_key"])) for other in own]
    return {
        "strengths": {strength: page for strength, seed, page in siblings if seed == run["seed"]},
        "seeds": {seed: page for strength, seed, page in siblings if strength == run["strength"]},
    }


def _without_version(named: dict[Any, Any]) -> dict[Any, Any]:
    """The parameters of a registry's entry; its version is of the code, and no parameter."""
    return {name: value for name, value in named.items() if name != "version"}


def _without_none(value: Any) -> Any:
    """The same without None, for TOML has no null; a parameter that is None is None by default."""
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _twins(configuration: dict[Any, Any], run: dict[Any, Any], foreign: bool) -> tuple[Sequence[Twin], str]:
    """The twins on which a run's prediction flips; else the first twins of its data, and why these or none."""
    named = json.loads(run["flips"]) if run["flips"] else None
    missing = "" if named else "no prediction flips" if named is not None else (
        "the run was recorded without the list of its flips")  # fmt: skip
    untrained = {"inapplicable": "no network was trained", "failed": "the run failed"}  # their lists are empty
    missing = untrained.get(run["status"], missing)
    from .twins import twins  # and torch, which the other pages do without

    try:
        return twins(configuration, named or None, run["dataset_digest"], foreign), missing
    except (LookupError, OSError, ValueError, TypeError) as error:
        return [], str(error)
