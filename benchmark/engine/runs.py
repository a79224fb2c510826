"""Runs to train: their data, networks, strengths and settings, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...datasets.base import ShortcutDataset, generator
from ...methods.fitting import Objective
from ...methods.network import Parameters
from ..suite.training import Training
from .places import Place
from .stacking import StackedSplit


@dataclass(frozen=True)
class Runs:
    """Runs of a stack.

    Attributes:
        draws: the dataset, drawn with each of the seeds.
        modules: each seed's network, as its seed initialised it.
        data: the training inputs.
        strengths: of the device and the type that the runs are trained with.
        start: parameters to begin from, in place of the modules'.
        sharers: processes that train on the device, this one included, and share its free memory.
        channels_last: a network alone computes on images in this memory format.
        alike: any seed's module computes any seed's network from its parameters; if not, runs are not stacked.
    """

    training: Training
    draws: Sequence[ShortcutDataset]
    modules: Sequence[nn.Module]
    data: StackedSplit
    validation: StackedSplit
    strengths: Float[Tensor, "seeds strengths"]
    start: Parameters | None = None
    alike: bool = True
    sharers: int = 1
    channels_last: bool = True

    def __getitem__(self, place: Place) -> Runs:
        """The runs at a place."""
        seeds, _ = place
        start = None if self.start is None else {name: value[place] for name, value in self.start.items()}
        return Runs(
            self.training,
            self.draws[seeds],
            self.modules[seeds],
            self.data[place],
            self.validation[seeds, :],
            self.strengths[place],
            start,
            self.alike,
            self.sharers,
            self.channels_last,
        )

    @property
    def steps(self) -> float:
        """Optimiser steps of the whole training."""
        return self.training.epochs * len(self.data) / self.training.batch_size

    def trainable(self) -> frozenset[str]:
        """Names of the network's parameters that require a gradient; the others stay as they were initialised."""
        return frozenset(name for name, value in self.modules[0].named_parameters() if value.requires_grad)

    def own_parameters(self, objective: Objective) -> list[dict[str, Tensor]]:
        """For each seed, the objective's parameters beside the network's."""
        return [dict(objective.parameters(*of)) for of in zip(self.modules, self.draws, strict=True)]

    def initial_parameters(self, own: Sequence[Parameters]) -> dict[str, Tensor]:
        """The parameters (seeds, strengths, *shape) that a training begins with; `own` are the objective's."""
        by_seed = [{**dict(module.named_parameters()), **more} for module, more in zip(self.modules, own, strict=True)]
        columns = self.strengths.shape[1]
        initial = {
            name: torch.stack([named[name].detach().to(self.strengths) for named in by_seed])[:, None]
            for name in by_seed[0]
        }
        stacked = {name: value.repeat_interleave(columns, 1) for name, value in initial.items()}
        return stacked | {name: value.clone() for name, value in (self.start or {}).items()}

    def generators(self, stream: str) -> list[torch.Generator]:
        """A generator for each seed, of a named stream of draws."""
        seeds = [int(generator(draw.seed, stream).integers(2**63)) for draw in self.draws]
        return [torch.Generator().manual_seed(seed) for seed in seeds]
