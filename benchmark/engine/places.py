"""Places in a stack: rectangles of its table of runs, with a row for each seed and a column for each strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ...methods.fitting import Fitted
from .memory import out_of_memory

Place = tuple[slice, slice]
"""Seeds and strengths of neighbouring runs."""
FIRST_RUN: Place = (slice(0, 1), slice(0, 1))


def whole(shape: Sequence[int]) -> Place:
    """The place of all runs of a stack of (seeds, strengths)."""
    rows, columns = shape
    return slice(0, rows), slice(0, columns)


def split(place: Place, most: int) -> list[Place]:
    """The place, halved until no piece has more than `most` runs; pieces of one run are never halved."""
    return [place] if size_of(place) <= max(1, most) else [p for half in halves(place) for p in split(half, most)]


def halves(place: Place) -> tuple[Place, Place]:
    """Both halves of a place of several runs; by strengths first, because strengths of a seed share its batches."""
    seeds, strengths = place
    if strengths.stop - strengths.start > 1:
        middle = (strengths.start + strengths.stop) // 2
        return (seeds, slice(strengths.start, middle)), (seeds, slice(middle, strengths.stop))
    middle = (seeds.start + seeds.stop) // 2
    return (slice(seeds.start, middle), strengths), (slice(middle, seeds.stop), strengths)


def size_of(place: Place) -> int:
    """The number of runs."""
    seeds, strengths = place
    return (seeds.stop - seeds.start) * (strengths.stop - strengths.start)


def trained(places: Sequence[Place], train: Callable[[Place], Fitted]) -> list[tuple[Place, Fitted]]:
    """Every place, trained; a place that does not fit into memory after all is halved and begun again.

    Raises:
        RuntimeError: torch's, where a single run does not fit.
    """
    waiting, done = list(places), []
    while waiting:
        place, *waiting = waiting
        try:
            done.append((place, train(place)))
        except RuntimeError as error:
            if not out_of_memory(error) or size_of(place) == 1:
                raise
            waiting = [*halves(place), *waiting]
    return done


def joined(parts: Sequence[tuple[Place, Fitted]], shape: Sequence[int]) -> Fitted:
    """The stack of (seeds, strengths) whose places were trained apart."""
    _, some = parts[0]

    def join(tensor_of: Callable[[Fitted], Tensor]) -> Tensor:
        table = tensor_of(some).new_empty(*shape, *tensor_of(some).shape[2:])
        for place, part in parts:
            table[place] = tensor_of(part)
        return table

    return Fitted(
        parameters={name: join(lambda part, name=name: part.parameters[name]) for name in some.parameters},
        curves={name: join(lambda part, name=name: part.curves[name]) for name in some.curves},
        liveness={name: join(lambda part, name=name: part.liveness[name]) for name in some.liveness},
        seconds=join(lambda part: part.seconds),
    )
