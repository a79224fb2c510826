"""Runs that are trained together: a whole stack, or a piece of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain, islice, repeat
from statistics import mean
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad

from ...datasets.base import Batch
from ...methods.fitting import CURVES, Fitted, Objective, Terms
from ...methods.network import Net, Parameters
from ...methods.nudge import reached_outputs
from .device import seconds_of
from .memory import how_many_fit
from .optimizer import optimizer
from .places import Place
from .runs import Runs
from .stacking import Index, StackedBatch, over_stack
from .tracing import TracedGradients

TRIAL_STEPS, TRIAL_PATIENCE = 5, 0.5
"""Steps of a trial, and seconds after which it has no further step."""
MOST_TIMED = 40
"""Steps from which the seconds of an epoch are told, at the most."""
Progress = Callable[[int], object]
"""Called with the number of runs' epochs that were just trained."""


class Part:
    """Runs in training.

    Args:
        objective: its terms are what `gradients` is of.
        gradients: shared with other parts, which then share their traced programs.
    """

    def __init__(self, objective: Objective, runs: Runs, gradients: TracedGradients, progress: Progress) -> None:
        self.objective, self.runs, self.gradients, self.progress = objective, runs, gradients, progress
        self.training, self.data, self.strengths = runs.training, runs.data, runs.strengths
        own = runs.own_parameters(objective)
        self.own = frozenset(own[0])
        self.parameters = runs.initial_parameters(own)
        trainable = runs.trainable() | self.own
        self.trainable = [name for name in self.parameters if name in trainable]
        self.optimizer = optimizer(self.training, [self.parameters[name] for name in self.trainable])
        self.orders = runs.generators("order")
        self.augments = runs.generators("augment")

    def train(self) -> Fitted:
        start, epochs, count = time.perf_counter(), self.training.epochs, self.strengths.numel()
        curves = {name: self.strengths.new_full((*self.strengths.shape, epochs), torch.nan) for name in CURVES}
        liveness = {"start": self.liveness()}
        for epoch in range(epochs):
            measured = self._epoch()
            for name, values in measured.items():
                curves[name][..., epoch] = values
            if epoch == (epochs - 1) // 2:
                liveness["middle"] = self.liveness()
            self.progress(count)
            if not torch.isfinite(measured["right_answer"] + measured["right_reason"]).any():  # all have diverged
                self.progress(count * (epochs - epoch - 1))
                break
        liveness["end"] = self.liveness()
        return Fitted(
            parameters=self._of_network(self.parameters),
            curves=curves,
            liveness={"middle": liveness["end"], **liveness},
            seconds=self.strengths.new_full(self.strengths.shape, (time.perf_counter() - start) / count),
        )

    def _epoch(self) -> dict[str, Float[Tensor, "seeds strengths"]]:
        """Trains for an epoch; a value of each of the `CURVES`."""
        sums = self.strengths.new_zeros(2, *self.strengths.shape)
        for index, size in self._indices():
            sums += torch.stack(self.step(self.batch(index))) * size
        right_answer, right_reason = sums / len(self.data)
        values = right_answer, right_reason, self._validation_accuracy()
        return dict(zip(CURVES, values, strict=True))

    def step(self, batch: StackedBatch) -> Terms:
        """One optimiser step of every run; both terms as they were before the step."""
        gradients, terms = self.gradients(self.parameters, batch, self.strengths)
        for name in self.trainable:
            # torch's fused optimisers read a transposed gradient wrongly
            self.parameters[name].grad = gradients[name].contiguous()
        self.optimizer.step()
        return terms

    def liveness(self) -> Float[Tensor, "seeds strengths"]:
        """Norm of the right-reason term's gradient over the right-answer term's, on the first inputs with masks.

        Where fewer inputs than a batch have masks, the first inputs without masks fill the batch.
        """
        bare = self.data.areas == 0
        first = bare.to(torch.uint8).argsort(dim=1, stable=True)[:, : self.training.batch_size]
        batch = self.batch(first, self.runs.generators("liveness"))
        return self._gradient_norm("right_reason", batch) / self._gradient_norm("right_answer", batch)

    def _gradient_norm(
        self, term: Literal["right_answer", "right_reason"], batch: StackedBatch
    ) -> Float[Tensor, "seeds strengths"]:
        """Of the network's parameters that are trained."""

        def total(parameters: Parameters) -> Tensor:
            return getattr(self.gradients.terms(parameters, batch, self.strengths), term).sum()

        gradients = self._of_network(grad(total)(self.parameters))
        trained = [gradients[name] for name in self.trainable if name in gradients]
        squares = [gradient.square()[..., None].flatten(2).sum(2) for gradient in trained]
        return torch.stack(squares).sum(0).sqrt()

    def _of_network(self, parameters: Parameters) -> Parameters:
        """Without the mitigation's own."""
        return {name: value for name, value in parameters.items() if name not in self.own}

    def initial_terms(self) -> Terms:
        """Both terms at the present parameters, meant over all inputs in order."""
        n, size, generators = len(self.data), self.training.batch_size, self.runs.generators("auto")
        sums = self.strengths.new_zeros(2, *self.strengths.shape)
        for begin in range(0, n, size):
            batch = self.batch(slice(begin, begin + size), generators)
            sums += torch.stack(self.gradients.terms(self.parameters, batch, self.strengths)) * batch.labels.shape[1]
        return Terms(*(sums / n).detach())

    def how_many_fit(self) -> int:
        """How many runs like the part's one run can be trained together in the device's free memory."""
        return how_many_fit(self.trace(), self.strengths.device, self.runs.sharers)

    def seconds_per_step(self) -> float:
        """The fastest of a few steps, of long ones fewer. They move the parameters: the part is then of no use."""
        self.trace()
        batch, seconds = self.first_batch(), []
        self._hits(batch)  # layers that can be stacked with gradients, and not without, raise in the trial
        for _ in range(TRIAL_STEPS):
            seconds.append(seconds_of(lambda: self.step(batch), self.strengths.device))
            if sum(seconds) > TRIAL_PATIENCE:
                break
        return min(seconds)

    def seconds_per_epoch(self, patience: float) -> float:
        """Seconds of an epoch, from its first steps and its pass over the validation inputs. Moves the parameters.

        Args:
            patience: seconds after which no further step is timed; two steps are timed at the least.
        """
        indices = chain.from_iterable(self._indices() for _ in range(MOST_TIMED))
        steps = self._mean_seconds((lambda index=index: self.step(self.batch(index)) for index, _ in indices), patience)
        validation = self._mean_seconds(repeat(self._validation_accuracy, MOST_TIMED), patience / 4)
        return -(-len(self.data) // self.training.batch_size) * steps + validation

    def _mean_seconds(self, calls: Iterable[Callable[[], object]], patience: float) -> float:
        """The mean seconds of a call. The first call is left out: it includes work that is done once."""
        took: list[float] = []
        for call in islice(calls, MOST_TIMED):
            took.append(seconds_of(call, self.strengths.device))
            if len(took) > 1 and sum(took[1:]) > patience:
                break
        return mean(took[1:] or took)

    def trace(self) -> int:
        """Traces the program of a full batch; the bytes that a step takes at most."""
        return self.gradients.trace(self.parameters, self.first_batch(), self.strengths)

    def first_batch(self) -> StackedBatch:
        """The first inputs, with draws."""
        return self.batch(slice(0, self.training.batch_size))

    def batch(self, index: Index, generators: Sequence[torch.Generator] | None = None) -> StackedBatch:
        """The inputs at `index`, with what the objective draws for them; by default from the training's draws."""
        batch = self.data.batch(index, self.strengths.dtype)
        if not self.objective.augments:
            return batch
        classes, areas = self.runs.draws[0].classes, self.data.areas_at(index)
        drawn = [
            self.objective.augment(batch.of_seed(i)._replace(areas=areas[i]), classes, coins)
            for i, coins in enumerate(self.augments if generators is None else generators)
        ]
        return StackedBatch.of_seeds(drawn)

    def _indices(self) -> Iterator[tuple[Index, int]]:
        """One epoch's batches and their sizes; the last batch may be smaller."""
        n, size = len(self.data), self.training.batch_size
        if self.training.shuffle:
            order = torch.stack([torch.randperm(n, generator=generator) for generator in self.orders])
            yield from ((index, index.shape[1]) for index in order.split(size, dim=1))
        else:
            yield from ((slice(start, start + size), min(size, n - start)) for start in range(0, n, size))

    def _validation_accuracy(self) -> Float[Tensor, "seeds strengths"]:
        split = self.runs.validation
        chunks = split.chunks(self.strengths.dtype, self.strengths.numel())
        return torch.stack([*map(self._hits, chunks)]).sum(0) / len(split)

    @torch.no_grad()
    def _hits(self, chunk: StackedBatch) -> Float[Tensor, "seeds strengths"]:
        """How many inputs each run classifies correctly."""
        module = self.runs.modules[0]

        def correct(parameters: Parameters, batch: Batch, strength: Tensor) -> Terms:
            hits = (Net(module, parameters)(batch.inputs).argmax(-1) == batch.labels).to(strength)
            return Terms(hits.sum(), hits.sum())

        return over_stack(correct, False, self.runs.channels_last)(self.parameters, chunk, self.strengths).right_answer


def parts_of(
    objective: Objective, runs: Runs, progress: Progress = lambda epochs: None, *, compiled: bool = False
) -> Callable[[Place], Part]:
    """What makes the part at a place of the runs, ready to be trained; its parts share their traced programs.

    Raises:
        ValueError: masks for each strength, and an objective that augments: its draws are for all of a seed's.
    """
    if runs.data.masks_differ and objective.augments:
        raise ValueError(
            f"{objective.id} got masks for each of {runs.data.masks.shape[1]} strengths, but its augment draws once "
            "for all strengths of a seed: give one mask a seed, or train strength by strength"
        )
    if "core" not in objective.needs:
        runs = replace(runs, data=replace(runs.data, core=None))  # so that no step gathers what nobody reads
    touched = runs.data.touched()
    features = tuple(runs.data.inputs.shape[2:])
    reached = None if touched is None else reached_outputs(runs.modules[0], features, touched)

    @cache
    def gradients(module: nn.Module) -> TracedGradients:
        def terms(parameters: Parameters, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
            return objective.terms(Net(module, parameters), batch._replace(touched=touched, reached=reached), strength)

        return TracedGradients(over_stack(terms, runs.data.masks_differ, runs.channels_last), compiled)

    def part(place: Place) -> Part:
        own = runs[place]
        return Part(objective, own, gradients((runs if runs.alike else own).modules[0]), progress)

    return part
