"""The pages of runs: curves, picture, flipped twins, metrics, and the command that repeats the run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import tomli_w

from ..store.frames import IDENTITY
from ..store.records import picture_name
from . import interactive
from .recorded import BESIDE

if TYPE_CHECKING:
    from .twins import Twin


def address(run_key: str) -> str:
    """The page of a run."""
    return f"runs/{run_key[:16]}.html"


def run_pages(runs: pd.DataFrame, keys: set[str], out: Path) -> Iterator[dict[str, Any]]:
    """What the page of each run with one of these keys shows.

    Args:
        runs: those of one sweep.
    """
    ordered = runs.sort_values(["mitigation", "masks", "strength", "seed"]).astype(object).to_dict("records")
    measured = [name for name in runs if name not in (*IDENTITY, *BESIDE)]
    for _, group in groupby(ordered, key=itemgetter("mitigation", "masks")):
        sweep = list(group)
        with_strength = any(run["strength"] > 0 for run in sweep)
        siblings = [(run["strength"], run["seed"], address(run["run_key"])) for run in sweep]
        for run in (run for run in sweep if run["run_key"] in keys):
            configuration, curves = json.loads(run["configuration"]), json.loads(run["curves"] or "{}")
            picture = out / "pictures" / run["sweep_key"] / picture_name(run["mitigation"], run["masks"])
            shown, reason = _twins(configuration, run["flips"])
            yield {
                "run": run,
                "metrics": {name: f"{run[name]:.4g}" for name in measured if run[name] == run[name]},
                "configuration": json.dumps(configuration, indent=2),
                "suite_file": suite_file(configuration, with_strength),
                "curves": embedded(interactive.curves(curves)) if curves else "",
                "picture": quote(picture.relative_to(out).as_posix()) if picture.is_file() else "",
                "twins": shown,
                "no_twins": reason,
                "strengths": {strength: page for strength, seed, page in siblings if seed == run["seed"]},
                "seeds": {seed: page for strength, seed, page in siblings if strength == run["strength"]},
            }


def suite_file(configuration: dict[str, Any], has_strength: bool) -> str:
    """A suite of this run alone, which has the run's key."""
    mitigation: dict[str, Any] = {"mitigation": configuration["mitigation"]}
    if has_strength:
        mitigation["strengths"] = [configuration["strength"]]
    sweep = {
        "dataset": {name: value for name, value in configuration["dataset"].items() if name != "version"},
        "network": configuration["network"],
        "training": configuration["training"],
        "mitigations": [mitigation],
    }
    suite = {"seeds": [configuration["seed"]], "explainers": configuration.get("explainers", []), "sweeps": [sweep]}
    return tomli_w.dumps(_without_none({name: value for name, value in suite.items() if value}))


def _without_none(value: Any) -> Any:
    """TOML has no null; what is None is so by default."""
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _twins(configuration: dict[str, Any], flips: str) -> tuple[Sequence[Twin], str]:
    """The twins on which a run's prediction flips, or why there are none to show."""
    if not flips:
        return [], "the run was recorded without the list of its flips"
    named = json.loads(flips)
    if not named:
        return [], "no prediction flips, or the run was not evaluated on twins"
    from .twins import twins  # and torch, which the other pages do without

    try:
        return twins(configuration, named), ""
    except (LookupError, OSError, ValueError) as error:
        return [], str(error)


def embedded(picture: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(picture, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
