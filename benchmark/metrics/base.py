"""A metric: what it is called, its range, chance and direction, its columns, and the function that measures it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal, TypeVar, get_args

from jaxtyping import Float
from torch import Tensor

from ...datasets.base import ENVIRONMENTS, MADE_UP
from ...datasets.registry import Discovered, UnknownName, nearest
from .column import Column
from .evaluated import Evaluated

Values = Mapping[str, "Float[Tensor, 'strengths'] | float"]
"""By id: a number for each network, or one for all of them. NaN where it cannot be measured."""
Measure = Callable[[Evaluated], Values]
F = TypeVar("F", bound=Measure)
Direction = Literal["higher", "lower", "neither"]

_ENVIRONMENT = "|".join((*ENVIRONMENTS, *MADE_UP, r"random_\w+"))
_TWINS = "|".join((*MADE_UP, "removed_and_added"))
_PLACES = {
    "environment": _ENVIRONMENT,
    "split": f"{_ENVIRONMENT}|train|validation|validation_swap",
    "stage": "start|middle|end",
    "explainer": r"\w+(\[.*\])?",
    "label": r"\d+|worst",
    "planter": rf"(?!(?:{_TWINS})$)\w+",  # of records of other people too, whose planters are not installed here
}


@dataclass(frozen=True)
class Metric:
    """A metric; `@metrics.measured_by` adds the function that measures it.

    Attributes:
        id: as in a record, with a place for what it is measured on: `accuracy/{environment}`, `mass_abs/{explainer}`,
            `liveness/{stage}`.
        better: the direction of a network that does its task and not by the shortcut.
        chance: what guesses, or attributions drawn at random, score; in words.
        meaning: one sentence, for a legend.
        columns: the ids that a leaderboard shows, and how.
        measure: measures this metric, and others that it is registered for; None where the number comes from
            elsewhere: a curve of the training, a mitigation's `fit`, a comparison of runs.

    Raises:
        ValueError: an id with an unknown place, an unknown direction, or an empty range.
    """

    id: str
    better: Direction
    low: float
    high: float
    chance: str
    meaning: str
    columns: tuple[Column, ...] = ()
    measure: Measure | None = None

    def __post_init__(self) -> None:
        for place in re.findall(r"\{(\w*)\}", self.id):
            if place not in _PLACES:
                raise ValueError(f"metric {self.id!r} has a place {{{place}}}; {nearest(place, _PLACES)}")
        if self.better not in get_args(Direction):
            raise ValueError(
                f"metric {self.id!r} is better {self.better!r}; {nearest(self.better, get_args(Direction))}"
            )
        if not self.low < self.high:
            raise ValueError(f"metric {self.id!r} has no numbers in [{self.low}, {self.high}]: give low < high")

    def names(self, id: str) -> bool:
        """Whether `id` is this metric, measured somewhere."""
        return _pattern(self.id).fullmatch(id) is not None


@cache
def _pattern(id: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", lambda place: f"(?:{_PLACES[place[1]]})", id))


class Metrics(Discovered[Metric]):
    """Every metric that a record or a table can have."""

    _found: ClassVar[dict[str, Metric]] = {}
    """What was named before, which is looked for among all metrics but once."""

    def measured_by(self, *described: Metric) -> Callable[[F], F]:
        """Decorator of the function that measures the metrics `described`.

        Raises:
            ValueError: another function measures a metric of this id.
        """

        def add(measure: F) -> F:
            self.describe(*(replace(metric, measure=measure) for metric in described))
            return measure

        return add

    def describe(self, *described: Metric) -> None:
        """Adds metrics.

        Raises:
            ValueError: another function measures a metric of this id.
        """
        for metric in described:
            taken = self._entries.setdefault(metric.id, metric)
            if _origin(taken) != _origin(metric):
                raise ValueError(
                    f"two metrics have the id {metric.id!r}, of {_origin(taken)} and {_origin(metric)}; rename one"
                )

    def __iter__(self) -> Iterator[Metric]:
        self._discover()
        return iter([*self._entries.values()])

    def named(self, id: str) -> Metric:
        """The metric that `id` is a measurement of: `accuracy/random` is one of `accuracy/{environment}`.

        Raises:
            UnknownName: no metric has such an id.
        """
        if (before := self._found.get(id)) is not None and self._entries.get(before.id) is before:
            return before
        for known in self:
            if known.names(id):
                self._found[id] = known
                return known
        raise UnknownName(f"no metric is called {id!r}; {nearest(id, self.names())}")

    def measure(self, evaluated: Evaluated) -> dict[str, Float[Tensor, "strengths"] | float]:
        """Every metric that can be measured; a number that the mitigation's own `fit` reported takes precedence.

        Raises:
            ValueError: a function measures an id that it is not registered for.
        """
        measured: dict[str, Tensor | float] = {}
        for measure in dict.fromkeys(metric.measure for metric in self if metric.measure is not None):
            values = measure(evaluated)
            if foreign := self.not_of(measure, values):
                raise ValueError(foreign)
            measured |= values
        return measured | dict(evaluated.reported)

    def not_of(self, measure: Measure, ids: Iterable[str]) -> str:
        """Says which id is of no metric that a function is registered for, and what to do; empty if none is."""
        own = [metric for metric in self if metric.measure is measure]
        foreign = (name for name in ids if not any(metric.names(name) for metric in own))
        return next((self._foreign(measure, name, own) for name in foreign), "")

    def _foreign(self, measure: Measure, id: str, own: Sequence[Metric]) -> str:
        function, ids = _name_of(measure), ", ".join(metric.id for metric in own)
        taken = next((metric for metric in self if metric.names(id)), None)
        if taken is None:
            return (
                f"{function} measures {id!r}, which no metric is called: add Metric({id!r}, ...) to its "
                "@metrics.measured_by, or leave the number out"
            )
        owner = "which no function measures" if taken.measure is None else f"which {_name_of(taken.measure)} measures"
        return (
            f"{function} measures {id!r}, a number of the metric {taken.id!r}, {owner}: a function may measure only "
            f"the metrics that it is registered for ({ids}); leave the number out, or give it an id of its own"
        )

    def columns(self) -> tuple[Column, ...]:
        """What a leaderboard shows, from left to right."""
        return tuple(sorted((column for metric in self for column in metric.columns), key=lambda column: column.order))

    def _load(self, point: EntryPoint) -> None:
        point.load()  # whose module adds its metrics when it is imported


def _name_of(measure: Measure) -> str:
    """Module and name of a function that measures."""
    return f"{measure.__module__}.{getattr(measure, '__qualname__', measure)}"


def _origin(metric: Metric) -> str:
    return repr(metric) if metric.measure is None else _name_of(metric.measure)


metrics = Metrics("metric", __package__ or "rrrbench.benchmark.metrics")


def metric(id: str) -> Metric:
    """The metric that `id` is a measurement of; see `Metrics.named`."""
    return metrics.named(id)
