"""Records that nothing was trained for: a module of its own, for processes that tests start import it too."""

from __future__ import annotations

from rrrbench.benchmark.store.record import Record
from rrrbench.benchmark.store.records import RecordStore
from tiny import tiny_suite


def made_up(status="finished", suite=None, **measured) -> list[Record]:
    """The four runs of RRR in the tiny suite."""
    stack = (suite or tiny_suite()).stacks()[1]
    measured = {"metrics": {"accuracy/random": 0.5}, "digest": "0" * 64, **measured}
    return [Record.for_run(stack, strength, seed, status, **measured) for strength, seed in stack.places().values()]


def kept(store: RecordStore, records: list[Record]) -> list[Record]:
    """The same records, which the store has too."""
    for record in records:
        store.put(record)
    return records
