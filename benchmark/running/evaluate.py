"""From a trained stack to the metrics of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from ...datasets.base import Environment, ShortcutDataset, Split, generator
from ...methods.explainers.base import Explainer, explainers
from ...methods.fitting import Fitted
from ...methods.network import Net
from ..engine.stacking import CHUNK
from ..engine.trainer import Trainer
from ..metrics import accuracy, randomisation, reliance, saliency
from ..metrics.swap import swapped
from ..store.record import Record, Status
from ..suite.stack import Stack

EXPLAINERS = ("input_gradient", "input_gradient_predicted", "integrated_gradients")
SALIENCY_INPUTS = 100
"""Test inputs whose saliency is measured: the first ones of the `random` environment (RULES.md)."""
RANKED_INPUTS, UNTRAINED_INPUTS = 50, 10
"""How many where a suite ranks explainers, and how many of these are attributed with other weights too."""
FLIPS = 6
"""Twins that a record names, of those on which the prediction flips."""


def records(stack: Stack, trainer: Trainer, fitted: Fitted, seconds: float) -> Iterator[Record]:
    """The record of every run of a stack whose training took so many seconds, all its stages."""
    for row, draw in enumerate(trainer.draws):
        nets = [_net(trainer, fitted, row, column) for column in range(len(stack.strengths))]
        predictions = {name: _predictions(nets, split, trainer) for name, split in draw.environments.items()}
        measured = _prediction_metrics(predictions, nets, draw, trainer)
        flips = reliance.flips(predictions, draw, FLIPS) or [[] for _ in nets]
        digest = draw.digest()
        for column, (net, strength) in enumerate(zip(nets, stack.strengths, strict=True)):
            place = row, column
            metrics = {name: values[column].item() for name, values in measured.items()}
            metrics |= _saliency_metrics(net, draw, trainer, stack.explainers)
            metrics |= {name: values[place].item() for name, values in fitted.metrics.items()}
            metrics |= {
                "seconds": seconds / len(stack),
                "seconds/setup": trainer.clock.setup / len(stack),
            }
            if stack.mitigation.has_strength:
                metrics |= {f"liveness/{when}": values[place].item() for when, values in fitted.liveness.items()}
            yield Record.of(
                stack,
                strength,
                draw.seed,
                _status(stack, draw, fitted, place),
                metrics=metrics,
                curves={name: values[place].tolist() for name, values in fitted.curves.items()},
                flips=flips[column],
                digest=digest,
            )


def _status(stack: Stack, draw: ShortcutDataset, fitted: Fitted, place: tuple[int, int]) -> Status:
    """`inert`: at strength > 0, with masks to use if it uses masks, the right-reason term moved nothing."""
    if bool(fitted.diverged[place]):
        return "diverged"
    unsupervised = "masks" in stack.mitigation.needs and not bool(draw.train.masks.any())
    expected = stack.mitigation.has_strength and not stack.mitigation.degenerate and not unsupervised
    alive = any(bool(values[place] > 0) for values in fitted.liveness.values())
    return "inert" if expected and stack.strengths[place[1]] > 0 and not alive else "finished"


def _net(trainer: Trainer, fitted: Fitted, row: int, column: int) -> Net:
    return Net(trainer.modules[row], {name: value[row, column] for name, value in fitted.parameters.items()})


@torch.no_grad()
def _predictions(nets: list[Net], split: Split, trainer: Trainer) -> Int[Tensor, "strengths n"]:
    chunks = torch.arange(len(split)).split(CHUNK)
    inputs = [split.batch(chunk).inputs.to(trainer.device, trainer.dtype) for chunk in chunks]
    return torch.stack([torch.cat([net(chunk).argmax(-1) for chunk in inputs]) for net in nets]).cpu()


def _prediction_metrics(
    predictions: Mapping[Environment, Int[Tensor, "strengths n"]],
    nets: list[Net],
    draw: ShortcutDataset,
    trainer: Trainer,
) -> dict[str, Tensor]:
    metrics = accuracy.measure(predictions, draw) | reliance.measure(predictions, draw)
    known = {"train": draw.train, "validation": draw.validation}
    if bool(draw.validation.masks.any()):
        known["validation_swap"] = swapped(draw.validation, generator(draw.seed, "validation/swap"))
    for name, split in known.items():
        metrics[f"accuracy/{name}"] = accuracy.accuracy(_predictions(nets, split, trainer), split.labels)
    return metrics


def _saliency_metrics(
    net: Net, draw: ShortcutDataset, trainer: Trainer, further: Sequence[Explainer]
) -> dict[str, float]:
    """By the protocol's explainers; with further ones, also what is left of an attribution with other weights."""
    split = draw.environments.get("random") or draw.test("aligned")
    batch = split.batch(slice(0, RANKED_INPUTS if further else SALIENCY_INPUTS))
    inputs = batch.inputs.to(trainer.device, trainer.dtype)
    predicted = net(inputs).argmax(-1).detach()
    chosen = {one.id: one for one in (*map(explainers.resolve, EXPLAINERS), *further) if not one.obstacle(net.module)}
    attributions = {name: one.attribute(net, inputs, predicted).cpu() for name, one in chosen.items()}
    if not all(bool(torch.isfinite(values).all()) for values in attributions.values()):
        return {}
    measured = saliency.measure(attributions, batch.masks)
    if further:
        untrained = trainer.network.build(draw, draw.seed + 1).to(trainer.device, trainer.dtype)
        few = slice(0, UNTRAINED_INPUTS)
        others = {name: one.attribute(untrained, inputs[few], predicted[few]).cpu() for name, one in chosen.items()}
        measured |= randomisation.measure({name: values[few] for name, values in attributions.items()}, others)
    return measured
