"""Directions of shortcuts in a network's features (the last layer's input), and fine-tuning of its last layer.

The direction of a class is the mean change of the features where the shortcut of the class's inputs is hidden:

    v_k = mean over n of class k of h(x_n) - h(x~_n), scaled to length 1

x~_n is x_n with its mask filled by the mean of its other features.

A concept activation vector that is fitted to inputs with and without the shortcut cannot be told from the direction of
the class where every input of the class has the shortcut. Pairs can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..datasets.base import Batch, ShortcutDataset
from .fitting import Fitted, Objective, Terms, Trainer
from .mitigations.shortcut_masking import mean_where
from .network import Net

SMALLEST = 1e-6
"""Directions that are shorter, or that the others explain but for this share, are none."""


def features_without(net: Net, batch: Batch) -> Float[Tensor, "batch width"]:
    """The features of the inputs with their masks filled by the mean of their other features, by channel."""
    return net.features(torch.where(batch.masks, mean_where(batch.inputs, ~batch.masks), batch.inputs))


def paired_features(
    trainer: Trainer, fitted: Fitted, row: int, column: int
) -> tuple[Float[Tensor, "n width"], Float[Tensor, "n width"]]:
    """A run's features of every training input, as it is and with its mask filled; on the CPU, in float64."""

    def both(net: Net, batch: Batch) -> Float[Tensor, "batch 2 width"]:
        return torch.stack((net.features(batch.inputs), features_without(net, batch)), 1)

    pairs = trainer.per_input_of_run(fitted, row, column, both).double().cpu()
    return pairs[:, 0], pairs[:, 1]


def directions(
    differences: Float[Tensor, "n width"], labels: Int[Tensor, "n"], classes: int
) -> Float[Tensor, "classes width"]:
    """The direction of each class, of length 1; zeros for a class whose features no filling changes."""
    sums = torch.zeros(classes, differences.shape[1], dtype=differences.dtype).index_add(0, labels.cpu(), differences)
    means = sums / labels.cpu().bincount(minlength=classes).clamp(min=1)[:, None]
    length = means.norm(dim=1, keepdim=True)
    return torch.where(length < SMALLEST, 0.0, means / length)


def projection(directions: Float[Tensor, "classes width"], rank: int) -> Float[Tensor, "width width"]:
    """The orthogonal projection onto the first `rank` principal axes of the directions, or as many as there are.

    Principal axes are through 0, as the directions are. Each takes what of the classes lies on it, too.
    """
    _, sizes, axes = torch.linalg.svd(directions, full_matrices=False)
    axes = axes[:rank][sizes[:rank] > SMALLEST * max(1.0, float(sizes[0]))]
    return axes.T @ axes


@dataclass(frozen=True)
class _Held:
    """An objective whose own parameters are where a training starts, and stay so: no weight decay shrinks them."""

    needs: ClassVar[frozenset[Any]] = frozenset({"masks"})

    objective: Objective

    @property
    def id(self) -> str:
        return self.objective.id

    @property
    def augments(self) -> bool:
        return self.objective.augments

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        return {}

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        return self.objective.terms(net, batch, strength)

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        return self.objective.augment(batch, classes, generator)


def fine_tuned(
    trainer: Trainer, objective: Objective, first: Fitted, own: Mapping[str, Float[Tensor, "seeds *shape"]], epochs: int
) -> Fitted:
    """The stack after `epochs` more of its last layer; a run at strength 0, or whose `own` are zeros, stays as it was.

    Args:
        own: the objective's own parameters for each seed, which are held constant.
    """
    strengths = trainer.strengths
    constants = {
        name: value.to(strengths)[:, None].expand(-1, strengths.shape[1], *value.shape[1:])
        for name, value in own.items()
    }
    longer = trainer.altered(epochs=epochs, only="head.")
    second = longer.train(_Held(objective), start={**first.parameters, **constants})
    told = torch.stack([value.flatten(2).any(2) for value in constants.values()]).all(0)
    changed = (strengths > 0) & told

    def chosen(name: str) -> Tensor:
        before, after = first.parameters[name], second.parameters[name]
        return torch.where(changed.view(*changed.shape, *[1] * (before.dim() - 2)), after, before)

    return replace(second, parameters={name: chosen(name) for name in first.parameters})
