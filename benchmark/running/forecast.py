"""What a session will do, said before it trains anything: runs, data that are missing, minutes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...datasets.recipe import Recipe
from ...datasets.sources import MissingData
from ..metrics.made_up import cautions_of_data
from ..store.addresses import shown
from ..suite.stack import MitigationStack, Stack
from .course import Course
from .executors.base import draw

BUSY = 1.5
"""Load of a core from which other programs slow the timing."""


class Inapplicable(NamedTuple):
    """Runs that are recorded and not trained, because the mitigation cannot work with the data or the network."""

    dataset: str
    network: str
    mitigation: str
    runs: int
    reason: str


class Missing(NamedTuple):
    """Runs whose data are not on this machine; the reason has the path."""

    dataset: str
    runs: int
    reason: str


@dataclass(frozen=True)
class Forecast:
    """What a session will do.

    Attributes:
        runs: of the suite.
        finished: of these, before the session begins.
        left: the stacks of the others.
        courses: what each of these stacks is expected to take; empty if nobody knows, as of a cluster.
        guessed: how many stacks were not timed, but take what similar stacks take.
        side_by_side: how many stacks are trained at once.
        where: they are trained, in words, if the session chose it.
        load: threads that wanted a core when the stacks were timed, for each core of this machine.
        share: of the seconds of the timing in which this program had a core; 1 on an idle machine.
        home: the folder of results.
        uri: the tracking server.
        cautions: why numbers on made-up twins may mislead, with the data set's name.
    """

    suite: str
    runs: int
    finished: int
    left: tuple[Stack, ...]
    inapplicable: tuple[Inapplicable, ...]
    missing: tuple[Missing, ...]
    home: Path
    uri: str
    cautions: tuple[str, ...] = ()
    courses: Mapping[Stack, Course] = field(default_factory=dict)
    guessed: int = 0
    side_by_side: int = 1
    where: str = ""
    load: float = 0.0
    share: float = 1.0

    @property
    def to_train(self) -> int:
        """Runs that will be trained, here or where the data are."""
        return self.runs - self.finished - sum(own.runs for own in self.inapplicable)

    @property
    def work(self) -> float:
        """Seconds of all stacks, one after another."""
        return sum(course.seconds for course in self.courses.values())

    @property
    def seconds(self) -> float | None:
        """Wall seconds of the training, on an idle machine; None if nobody knows."""
        return self.work / min(self.side_by_side, max(1, self.to_train)) if self.courses or not self.left else None

    def lines(self) -> Iterator[str]:
        """For people to read before a run."""
        counts = [f"{self.finished} finished", f"{self.to_train} to train"]
        if self.inapplicable:
            counts.append(f"{sum(own.runs for own in self.inapplicable)} inapplicable")
        if self.missing:
            counts.append(f"{sum(own.runs for own in self.missing)} of them without data")
        yield f"{self.suite}: {self.runs} runs: {', '.join(counts)}"
        for own in self.inapplicable:
            yield f"  inapplicable: {own.mitigation} on {own.dataset}, {own.runs} runs: {own.reason}"
        for own in self.missing:
            yield f"  missing: {own.dataset}, {own.runs} runs: {own.reason}"
        for why in self.cautions:
            yield f"  caution: {why}"
        if self.left:
            guessed = f" ({self.guessed} of {len(self.left)} stacks guessed from the others)" if self.guessed else ""
            yield f"  takes {in_words(self.seconds)}{guessed}{self.where and f' {self.where}'}"
            if self.courses and self.seconds and self.load > BUSY:
                now = in_words(self.seconds / self.share)
                yield f"  {now} if this machine stays busy: at present {self.load:.1f} threads want each of its cores"
        yield f"  written to {self.home}, shown in {shown(self.uri)}"


def in_words(seconds: float | None) -> str:
    """`about 40 seconds`, `about 12 minutes`, `about 3.5 hours`."""
    if seconds is None:
        return "a time that cannot be told before"
    if seconds < 1.5:
        return "about 1 second"
    if seconds < 90:
        return f"about {round(seconds)} seconds"
    return f"about {seconds / 60:.0f} minutes" if seconds < 5400 else f"about {seconds / 3600:.1f} hours"


def missing_data(stacks: Iterable[Stack]) -> tuple[Missing, ...]:
    """The datasets of stacks that cannot be drawn, because files are missing; draws each of the others once."""
    of_recipe: dict[Recipe, list[MitigationStack]] = {}
    for stack in stacks:
        if isinstance(stack, MitigationStack):
            of_recipe.setdefault(stack.dataset.with_masks(), []).append(stack)
    found = []
    for recipe, own in of_recipe.items():
        try:
            draw(recipe, own[0].seeds[0])
        except MissingData as error:
            found.append(Missing(recipe.id, sum(map(len, own)), str(error)))
    return tuple(found)


def cautions(stacks: Iterable[Stack], absent: Collection[str] = ()) -> tuple[str, ...]:
    """Why numbers on the made-up twins of the stacks' photos may mislead, each with the data set's name.

    Args:
        absent: ids of datasets that are missing.
    """
    said: list[str] = []
    seeds = {stack.dataset.with_masks(): stack.seeds[0] for stack in stacks if isinstance(stack, MitigationStack)}
    for recipe, seed in seeds.items():
        if recipe.id not in absent and "observed" in (drawn := draw(recipe, seed)).environments:
            said += [f"{recipe.id}: {why}" for why in cautions_of_data(drawn)]
    return tuple(said)
