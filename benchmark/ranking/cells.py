"""Cells of a reproduction: the published numbers that the same runs measure, by a name that a shell takes as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...datasets.registry import UnknownName, nearest
from ..suite.sweep import Suite
from .join import place_of
from .published import Published


def cell_of(row: Published) -> str:
    """The name of a number's cell, e.g. `decoy-mnist_56k/rrr/1000`; empty for a number that rrrbench does not run."""
    if not row.sweep:
        return ""
    strength = f"{row.strength:g}" if isinstance(row.strength, float) else row.strength
    parts = [row.sweep, row.mitigation, strength, "" if row.masks == "true" else row.masks]
    words = (re.sub(r"[^\w.+=-]+", "_", part.lower()).strip("_") for part in parts if part)
    return "/".join(words)


def cells(rows: Sequence[Published]) -> dict[str, list[Published]]:
    """The numbers of every cell by its name, in the order of the rows."""
    found: dict[str, list[Published]] = {}
    for row in rows:
        if name := cell_of(row):
            found.setdefault(name, []).append(row)
    return found


def rows_of_cell(rows: Sequence[Published], name: str) -> list[Published]:
    """The numbers of one cell.

    Raises:
        UnknownName: there is no such cell; the message has the nearest.
    """
    known = cells(rows)
    if name not in known:
        raise UnknownName(f"{rows[0].paper} has no cell {name!r}; {nearest(name, list(known))}")
    return known[name]


def suite_of_cell(row: Published, suite: Suite) -> Suite:
    """The suite of the runs of a number's cell alone; their keys are those of the whole suite.

    Raises:
        ValueError: the suite has no such runs.
    """
    sweep, entry, stack = place_of(row, suite)
    if not isinstance(row.strength, str) and entry.strengths:
        kept = [s for s in entry.fixed if entry.in_our_unit(s, sweep.training.batch_size) in stack.strengths]
        entry = entry.model_copy(update={"strengths": tuple(kept)})
    alone = sweep.model_copy(update={"dataset": stack.dataset, "controls": (), "mitigations": (entry,)})
    return suite.model_copy(update={"sweeps": (alone,)})
