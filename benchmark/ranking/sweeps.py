"""Sweeps by their key, and the names under which tables and pages show them.

Runs are compared where `sweep_key` is the same; names are for display. Two sweeps of one dataset and network differ in
training, protocol or the version of a recipe, and their names say in which.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pandas as pd

from ..suite.training import Training

SWEEP = ["sweep_key", "dataset", "network", "training", "protocol"]
"""The columns of a flat row that every run of a sweep has alike: its key, and what is shown of it."""


class SweepName(NamedTuple):
    """A sweep as tables and pages name it.

    Attributes:
        difference: what the other sweeps of the table with this dataset and network have otherwise, and the protocol
            where the table has several: `epochs=2, protocol 1.0`; empty where nothing differs.
    """

    dataset: str
    network: str
    difference: str

    def __str__(self) -> str:
        return ", ".join(part for part in self if part)


def sweep_names(rows: pd.DataFrame) -> dict[str, SweepName]:
    """The name of every sweep of a table by its key, in the order in which tables have them.

    Of two sweeps with one dataset and network, settings of `training` that differ are named with both values, a default
    too: `epochs=2` beside `epochs=50`. Sweeps that still have one name get the first digits of their keys.

    Args:
        rows: flat rows, or rows of a board: the columns `SWEEP`.
    """
    sweeps = rows[SWEEP].drop_duplicates("sweep_key")
    several = sweeps["protocol"].nunique() > 1
    names: dict[str, SweepName] = {}
    for (dataset, network), alike in sweeps.groupby(["dataset", "network"]):
        settings = {str(row.sweep_key): training_settings(str(row.training)) for row in alike.itertuples()}
        protocols = dict(zip(alike["sweep_key"], alike["protocol"], strict=True))
        for key in sorted(settings, key=lambda key: (_order(settings[key]), protocols[key], key)):
            parts = _different(settings[key], list(settings.values()))
            parts += [f"protocol {protocols[key] or 'unknown'}"] if several else []
            names[key] = SweepName(str(dataset), str(network), ", ".join(parts))
    return _distinct(names)


def training_settings(training: str) -> dict[str, str]:
    """Every setting of a training by its name, as text, from the settings that differ from their defaults."""
    defaults = {name: str(value) for name, value in Training().model_dump(mode="json").items()}
    changed = (setting.partition("=") for setting in training.split(",") if setting)
    return defaults | {name: value for name, _, value in changed}


def _different(settings: dict[str, str], every: list[dict[str, str]]) -> list[str]:
    """The settings, `epochs=2`, that are not the same in all trainings; without settings that this version lacks."""
    return [f"{name}={value}" for name, value in settings.items() if len({other.get(name) for other in every}) > 1]


def _distinct(names: dict[str, SweepName]) -> dict[str, SweepName]:
    """The same names, with the first digits of the key where two sweeps have one name."""
    times = Counter(names.values())
    keys = {key: f"sweep {key[:8]}" for key, name in names.items() if times[name] > 1}
    return {
        key: name._replace(difference=", ".join(filter(None, (name.difference, keys.get(key)))))
        for key, name in names.items()
    }


def _order(settings: dict[str, str]) -> list[tuple[str, float, str]]:
    """Orders trainings by their settings in the order of the fields, numbers by value."""
    return [(name, *_number_or_text(value)) for name, value in settings.items()]


def _number_or_text(value: str) -> tuple[float, str]:
    try:
        return float(value), ""
    except ValueError:
        return 0.0, value
