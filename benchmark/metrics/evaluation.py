"""From a trained stack to what its records say: every metric of every run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch, ShortcutDataset, Split
from ...methods.explainers.base import Explainer, explainers
from ...methods.fitting import Fitted
from ...methods.network import Net
from ..engine.stacking import CHUNK
from ..engine.trainer import Trainer
from ..suite.stack import MitigationStack
from .base import metrics
from .evaluated import Evaluated, Lazy, splits
from .reliance import flips

EXPLAINERS = ("input_gradient", "input_gradient_predicted", "integrated_gradients")
EXPLAINED_INPUTS = 100
"""Test inputs whose saliency is measured: the first ones of the `random` environment (RULES.md)."""
RANKED_INPUTS, UNTRAINED_INPUTS = 50, 10
"""How many where a suite ranks explainers, and how many of these are attributed with other weights too."""
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
    for row, draw in enumerate(trainer.draws):
        for columns in _parts(stack, draw):
            evaluated = evaluated_networks(stack, trainer, fitted, seconds, row, columns)
            measured = metrics.measure(evaluated)
            flipped = flips(evaluated.predictions, draw, FLIPS) or [[] for _ in columns]
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
    draw, part = trainer.draws[row], slice(columns.start, columns.stop)
    networks = [
        Net(trainer.modules[row], {name: value[row, column] for name, value in fitted.parameters.items()})
        for column in columns
    ]
    inputs = splits(draw)
    liveness = fitted.liveness if stack.mitigation.has_strength else {}
    explained = explained_inputs(stack, draw)
    attributing = _Attributing(trainer, draw, networks, explained, stack.explainers)
    return Evaluated(
        draw,
        Lazy(list(inputs), lambda name: _logits(networks, inputs[name], trainer)),
        inputs,
        networks,
        explained,
        Lazy(list(attributing.reported), attributing.trained),
        Lazy(list(attributing.reported) if stack.explainers else [], attributing.untrained),
        {stage: values[row, part] for stage, values in liveness.items()},
        seconds / len(stack),
        trainer.clock.setup / len(stack),
        {name: values[row, part] for name, values in fitted.metrics.items()},
    )


def explained_inputs(stack: MitigationStack, draw: ShortcutDataset) -> Batch:
    """The first inputs of `random`, or of `aligned` where a dataset has no `random`."""
    split = draw.environments.get("random") or draw.test("aligned")
    return split.batch(slice(0, RANKED_INPUTS if stack.explainers else EXPLAINED_INPUTS))


class _Attributing:
    """Attributes the predicted classes of the explained inputs, by networks as trained and by an untrained network.

    Attributes:
        reported: the protocol's explainers and the suite's, by id, without those that this network gives nothing to
            look at.
    """

    def __init__(
        self,
        trainer: Trainer,
        draw: ShortcutDataset,
        networks: list[Net],
        explained: Batch,
        ranked: tuple[Explainer, ...],
    ) -> None:
        self.trainer, self.draw, self.networks = trainer, draw, networks
        self.inputs = explained.inputs.to(trainer.device, trainer.dtype)
        self.predicted = [network(self.inputs).argmax(-1).detach() for network in networks]
        every = (*map(explainers.resolve, EXPLAINERS), *ranked)
        self.reported = {one.id: one for one in every if not one.obstacle(networks[0].module)}

    def trained(self, id: str) -> Float[Tensor, "strengths inputs *features"]:
        """By the explainer of this id, on the CPU."""
        explainer, pairs = self._explainer(id), zip(self.networks, self.predicted, strict=True)
        return torch.stack([explainer.attribute(net, self.inputs, predicted).cpu() for net, predicted in pairs])

    def untrained(self, id: str) -> Float[Tensor, "strengths few *features"]:
        """The same of the first inputs, with the weights of another seed's initialisation."""
        explainer, few = self._explainer(id), slice(0, UNTRAINED_INPUTS)
        net = self.trainer.network.untrained(self.draw, self.draw.seed + 1).to(self.trainer.device, self.trainer.dtype)
        return torch.stack(
            [explainer.attribute(net, self.inputs[few], predicted[few]).cpu() for predicted in self.predicted]
        )

    def _explainer(self, id: str) -> Explainer:
        return self.reported.get(id) or explainers.resolve(id)


@torch.no_grad()
def _logits(networks: list[Net], split: Split, trainer: Trainer) -> Float[Tensor, "strengths n classes"]:
    chunks = torch.arange(len(split)).split(CHUNK)
    inputs = [split.batch(chunk).inputs.to(trainer.device, trainer.dtype) for chunk in chunks]
    return torch.stack([torch.cat([net(chunk) for chunk in inputs]) for net in networks])


def _parts(stack: MitigationStack, draw: ShortcutDataset) -> list[range]:
    """Strengths whose attributions are kept at once."""
    inputs = explained_inputs(stack, draw).inputs
    a_network = max(1, inputs.numel() * (len(EXPLAINERS) + len(stack.explainers)))
    most, count = max(1, KEPT_ATTRIBUTIONS // a_network), len(stack.strengths)
    return [range(begin, min(begin + most, count)) for begin in range(0, count, most)]


def _number(value: Float[Tensor, "strengths"] | float, index: int) -> float:
    return value[index].item() if isinstance(value, Tensor) else float(value)


def _inert(stack: MitigationStack, draw: ShortcutDataset, fitted: Fitted, place: tuple[int, int]) -> bool:
    unsupervised = "masks" in stack.mitigation.needs and not bool(draw.train.masks.any())
    expected = stack.mitigation.has_strength and not stack.mitigation.degenerate and not unsupervised
    alive = any(bool(values[place] > 0) for values in fitted.liveness.values())
    return expected and stack.strengths[place[1]] > 0 and not alive
