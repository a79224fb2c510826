"""From the evaluation of a stack's runs to their records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..metrics.evaluation import Evaluation
from ..store.record import Record, Status
from ..suite.stack import Stack


def records(stack: Stack, evaluations: Iterable[Evaluation]) -> Iterator[Record]:
    """The record of every evaluated run of a stack."""
    for run in evaluations:
        yield Record.for_run(
            stack,
            run.strength,
            run.seed,
            _status(run),
            metrics=run.metrics,
            curves=run.curves,
            flips=run.flips,
            digest=run.digest,
        )


def _status(run: Evaluation) -> Status:
    if run.diverged:
        return "diverged"
    return "inert" if run.inert else "finished"
