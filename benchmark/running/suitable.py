"""Refuses, before anything is trained, a sweep of which every run would fail: its network, batches or masks do not fit.

Stacks of a sweep share dataset, network and training, so this is one error and not a failed run for each seed and
strength, hours later.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from ...datasets.masks import require_inputs_to_annotate
from ...datasets.sources import MissingData
from ..counterfactuals.subject import require_fitting
from ..engine.device import float32_products
from ..networks.check import check
from ..suite.explanation import ExplanationStack
from ..suite.stack import MitigationStack, Stack
from .executors.base import draw, require_a_batch


@float32_products()
def require_suitable(stacks: Iterable[Stack]) -> None:
    """Draws each dataset once, and asks of each stack whether its runs can be trained at all.

    Data that are not on this machine are not asked: a worker elsewhere may have them.

    Raises:
        ValueError: a dataset that cannot be rendered as its parameters say, a network that does not fit its inputs or
            cannot be trained as it is, a batch larger than the training data, or more annotations than inputs.
    """
    for stack in stacks:
        _require_suitable(stack)


@singledispatch
def _require_suitable(stack: Stack) -> None:
    """A kind of stack of which nothing is known before it is run."""


@_require_suitable.register
def _(stack: MitigationStack) -> None:
    try:
        drawn = draw(stack.dataset.with_masks(), stack.seeds[0])
    except MissingData:
        return
    check(stack.network, drawn, stack.training.batch_size)
    require_a_batch(stack, drawn)
    require_inputs_to_annotate(stack.dataset.annotated, len(drawn.train))


@_require_suitable.register
def _(stack: ExplanationStack) -> None:
    require_fitting(stack.network, stack.dataset.id)
