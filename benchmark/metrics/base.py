"""What every metric says about itself: its direction, its range, and what chance gives."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal

from ...datasets.base import ENVIRONMENTS
from ...datasets.registry import UnknownName, nearest

_PLACES = {
    "environment": "|".join(ENVIRONMENTS),
    "stage": "start|middle|end",
    "explainer": r"\w+(\[.*\])?",
    "label": r"\d+|worst",
}


@dataclass(frozen=True)
class Metric:
    """A metric's own description; a module of this package lists its in `METRICS`.

    Attributes:
        id: as in a record, with a place for what it is measured on: `accuracy/{environment}`, `mass_abs/{explainer}`,
            `liveness/{stage}`.
        better: the direction of a network that does its task and not by the shortcut.
        chance: what guesses, or attributions drawn at random, score; in words.
        meaning: one sentence, for a legend.
    """

    id: str
    better: Literal["higher", "lower", "neither"]
    low: float
    high: float
    chance: str
    meaning: str

    def names(self, id: str) -> bool:
        """Whether `id` is this metric, measured somewhere."""
        pattern = re.sub(r"\{(\w+)\}", lambda place: f"(?:{_PLACES[place[1]]})", self.id)
        return re.fullmatch(pattern, id) is not None


@cache
def metrics() -> tuple[Metric, ...]:
    """Every metric that a record can have."""
    package = import_module(__package__ or "rrrbench.benchmark.metrics")
    modules = [import_module(f"{package.__name__}.{module.name}") for module in pkgutil.iter_modules(package.__path__)]
    return tuple(metric for module in modules for metric in getattr(module, "METRICS", ()))


def metric(id: str) -> Metric:
    """The metric that `id` is a measurement of: `accuracy/random` is one of `accuracy/{environment}`.

    Raises:
        UnknownName: no metric has such an id.
    """
    for known in metrics():
        if known.names(id):
            return known
    raise UnknownName(f"no metric is called {id!r}; {nearest(id, (known.id for known in metrics()))}")
