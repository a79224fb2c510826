"""From a trained stack to what its records say: every metric of every run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from ...datasets.base import ShortcutDataset
from ...methods.fitting import Fitted
from ...methods.network import Net
from ..engine.device import float32_products
from ..engine.trainer import Trainer
from ..networks.base import Network
from ..suite.stack import MitigationStack
from .base import metrics
from .evaluated import Evaluated
from .evaluating import EXPLAINERS, evaluated, explained_inputs
from .reliance import flips

FLIPS = 6
"""Twins that a record names, of those on which the prediction flips."""
KEPT_ATTRIBUTIONS = 2**28
"""Numbers of attributions that are kept at once (1 GiB): strengths with more are evaluated in parts."""


@dataclass(frozen=True)
class Evaluation:
    """What one run measured.

    Attributes:
        diverged: a parameter or the last loss is not finite.
        inert: the right-reason term moved no parameter, at strength > 0 and with masks if the mitigation uses masks.
        metrics: by id; a metric that cannot be measured is absent.
        curves: by id, a value per epoch.
        flips: the first twins on which the prediction flips: test input, prediction in `aligned`, in `random`.
        digest: of the dataset.
    """

    strength: float
    seed: int
    diverged: bool
    inert: bool
    metrics: dict[str, float]
    curves: dict[str, list[float]]
    flips: list[tuple[int, int, int]]
    digest: str


def evaluations(stack: MitigationStack, trainer: Trainer, fitted: Fitted, seconds: float) -> Iterator[Evaluation]:
    """The evaluation of every run of a stack whose training took so many seconds, all its stages."""
    for row, draw in enumerate(trainer.evaluated_draws):
        for columns in _parts(stack, draw):
            networks = evaluated_networks(stack, trainer, fitted, seconds, row, columns)
            with float32_products():
                measured = metrics.measure(networks)
            flipped = flips(networks.predictions, draw, FLIPS) or [[] for _ in columns]
            for i, column in enumerate(columns):
                values = {name: _number(value, i) for name, value in measured.items()}
                yield Evaluation(
                    stack.strengths[column],
                    draw.seed,
                    bool(fitted.diverged[row, column]),
                    _inert(stack, draw, fitted, (row, column)),
                    {name: value for name, value in values.items() if not math.isnan(value)},
                    {name: curve[row, column].tolist() for name, curve in fitted.curves.items()},
                    flipped[i],
                    draw.digest(),
                )


def evaluated_networks(
    stack: MitigationStack, trainer: Trainer, fitted: Fitted, seconds: float, row: int, columns: range
) -> Evaluated:
    """The trained networks of one seed and some strengths, as metrics see them."""
    draw, part = trainer.evaluated_draws[row], slice(columns.start, columns.stop)
    networks = [
        Net(trainer.modules[row], {name: value[row, column] for name, value in fitted.parameters.items()})
        for column in columns
    ]

    def untrained() -> Network:
        """Of another seed's initialisation."""
        return trainer.network.untrained(draw, draw.seed + 1).to(trainer.device, trainer.dtype)

    liveness = fitted.liveness if stack.mitigation.has_strength else {}
    return replace(
        evaluated(
            networks,
            draw,
            trainer.device,
            trainer.dtype,
            explained=explained_inputs(draw, bool(stack.explainers)),
            ranked=stack.explainers,
            untrained=untrained if stack.explainers else None,
        ),
        liveness={stage: values[row, part] for stage, values in liveness.items()},
        seconds=seconds / len(stack),
        setup_seconds=trainer.clock.setup / len(stack),
        reported={name: values[row, part] for name, values in fitted.metrics.items()},
    )


def _parts(stack: MitigationStack, draw: ShortcutDataset) -> list[range]:
    """Strengths whose attributions are kept at once."""
    inputs = explained_inputs(draw, bool(stack.explainers)).inputs
    a_network = max(1, inputs.numel() * (len(EXPLAINERS) + len(stack.explainers)))
    most, count = max(1, KEPT_ATTRIBUTIONS // a_network), len(stack.strengths)
    return [range(begin, min(begin + most, count)) for begin in range(0, count, most)]


def _number(value: Float[Tensor, "strengths"] | float, index: int) -> float:
    return value[index].item() if isinstance(value, Tensor) else float(value)


def _inert(stack: MitigationStack, draw: ShortcutDataset, fitted: Fitted, place: tuple[int, int]) -> bool:
    unsupervised = "masks" in stack.mitigation.needs and not bool(draw.train.shown.any())
    expected = stack.mitigation.has_strength and not stack.mitigation.degenerate and not unsupervised
    alive = any(bool(values[place] > 0) for values in fitted.liveness.values())
    return expected and stack.strengths[place[1]] > 0 and not alive
