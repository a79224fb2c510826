"""The suites that come with rrrbench, one TOML file each. Imports nothing heavy, for `..finished`."""

from __future__ import annotations

import csv
from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Of the suites in this folder and those below it: `bench`, `reproduce/ross2017`."""
    return sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.toml"))


def path_of(name_or_path: str) -> Path:
    """The file that a suite's name, or its path, stands for; it need not exist."""
    return Path(name_or_path) if name_or_path.endswith(".toml") else FOLDER / f"{name_or_path}.toml"


def minutes() -> dict[str, float]:
    """About how many minutes each suite takes on two cores, by name; `make suite-minutes` says it anew.

    Left out are suites of counterfactual explainers, of which nothing forecasts how long they take, and suites of so
    many kinds of stacks that a forecast guesses most of them.
    """
    with (FOLDER / "minutes.csv").open(newline="") as file:
        return {row["suite"]: float(row["minutes"]) for row in csv.DictReader(file)}
