"""Trains a stack: runs of one dataset, network and mitigation that differ only in strength and seed.

Strengths that share a seed share their data, their initialisation and every batch. A stack is trained whole, vmapped
over seeds and strengths, or one run after another through the same code: `auto` takes the way that a short trial finds
faster.
"""

from __future__ import annotations

import copy
import math
import platform
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...datasets.base import Batch, ShortcutDataset, Split
from ...methods.fitting import Fitted, Objective
from ...methods.network import Net, Parameters
from ..networks import NetworkRecipe
from ..networks.check import check
from ..networks.gradients import freeze_unused
from ..networks.stackable import why_unstackable
from ..suite.training import Training
from .device import float32_products, training_precision
from .part import Part, Progress, parts_of
from .places import FIRST_RUN, Place, joined, split, trained, whole
from .plan import PLANS, Engine, Plan, fastest, run_by_run
from .runs import Runs
from .stacking import StackedSplit, takes_channels_last

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass
class Clock:
    """Wall seconds that stages have spent before their trainings: on trials of plans, tracing and compiling."""

    setup: float = 0.0


class Trainer:
    """One stack's data, networks and settings: what a mitigation's `fit` composes (`methods.fitting.Trainer`).

    Args:
        network: the architecture, built and initialised anew by each seed.
        draws: the dataset, drawn with each of the seeds.
        strengths: one row a seed.
        engine: the plan, or `auto`.
        choices: the plans that `auto` found fastest, by shape of stack; hand in a mapping that outlives the trainer to
            save trials.
        progress: called with the number of runs' epochs that were just trained.
        auto: strengths are ratios R. Where a training begins, each run's becomes the lambda at which the right-reason
            term is R times the right-answer term, both meant over all training inputs at the initialisation.
        sharers: processes that train on the device, this one included; a stack takes its share of the free memory.

    Attributes:
        train_data, validation_data: the splits of all seeds.
        unstackable: why runs are not stacked; empty if they can be.
        evaluated_draws: the draws as they were given; a mitigation sees `draws`, without the test environments.
        modules: each seed's network, as its seed initialised it.
        clock: shared with the trainers made by `altered`.

    Raises:
        ValueError: a batch larger than the training data, a strength that is negative or not finite, or a network that
            cannot be trained as the network it is (`networks.check`).
    """

    def __init__(
        self,
        network: NetworkRecipe,
        draws: Sequence[ShortcutDataset],
        training: Training,
        strengths: Float[Tensor, "seeds strengths"],
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        engine: Engine = "auto",
        choices: MutableMapping[str, str] | None = None,
        progress: Progress = lambda epochs: None,
        auto: bool = False,
        sharers: int = 1,
    ) -> None:
        if not bool((torch.isfinite(strengths) & (strengths >= 0)).all()):
            raise ValueError(f"strengths {strengths.tolist()} must be finite and not negative")
        self.device, self.dtype, self.engine, self.progress = torch.device(device), dtype, engine, progress
        self.network, self.training, self.auto, self.sharers = network, training, auto, sharers
        self.evaluated_draws, self.draws = draws, [draw.without_tests() for draw in draws]
        self.strengths = strengths.to(self.device, dtype)
        self.choices: MutableMapping[str, str] = {} if choices is None else choices
        self.clock = Clock()
        self.train_data = StackedSplit.of([draw.train for draw in draws], self.device)
        self.validation_data = StackedSplit.of([draw.validation for draw in draws], self.device)
        few = self.train_data.batch(slice(0, 4), dtype).inputs[0]
        with float32_products():  # what follows compares numbers that rounded products would make differ
            for draw in draws:
                check(network, draw, training.batch_size)
            self.modules = [network.build(draw, draw.seed).to(self.device, dtype) for draw in draws]
            self.unstackable = why_unstackable(network, self.modules, few, strengths.numel())
            freeze_unused(self.modules, few)
            self.channels_last = takes_channels_last(self.modules[0], few)
        if training.batch_size > len(self.train_data):
            raise ValueError(
                f"batch_size = {training.batch_size} is larger than the training data of {draws[0].id} "
                f"({len(self.train_data)} inputs): lower it"
            )

    @property
    def alike(self) -> bool:
        """Whether one module computes and trains all runs."""
        return not self.unstackable

    @property
    def labels(self) -> Int[Tensor, "seeds n"]:
        return self.train_data.labels

    @property
    def shortcuts(self) -> Int[Tensor, "seeds n"]:
        return self.train_data.shortcuts

    @property
    def epochs(self) -> int:
        return self.training.epochs

    def train(
        self,
        mitigation: Objective,
        *,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None = None,
        strengths: Float[Tensor, "seeds strengths"] | None = None,
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None = None,
        start: Parameters | None = None,
    ) -> Fitted:
        """Trains the stack from its seeds' initialisations; see `methods.fitting.Trainer.train`.

        A part that does not fit into memory after all is halved and begun again.
        """
        begin, runs = time.perf_counter(), self.runs(masks=masks, strengths=strengths, given=given, start=start)
        attention = sdpa_kernel(SDPBackend.MATH)  # the other kernels of attention have no second derivative
        with attention, training_precision(self.training.precision, self.device):
            parts = {plan: parts_of(mitigation, runs, self.progress, compiled=plan == "compiled") for plan in PLANS}
            plan = self._plan(mitigation, runs, parts)
            part, shape = parts[plan], runs.strengths.shape
            if self.auto:
                runs = replace(runs, strengths=runs.strengths * self._balanced(mitigation, runs, plan))
                part = parts_of(mitigation, runs, self.progress, compiled=plan == "compiled")
            fitted = joined(trained(places_of(plan, shape, part), lambda place: part(place).train()), shape)
        self.clock.setup += time.perf_counter() - begin - float(fitted.seconds.sum())
        return replace(fitted, metrics={"strength": runs.strengths}) if self.auto else fitted

    def runs(
        self,
        *,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None = None,
        strengths: Float[Tensor, "seeds strengths"] | None = None,
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None = None,
        start: Parameters | None = None,
    ) -> Runs:
        """The stack's runs, with what `train` is to take in place of the stack's own."""
        data = replace(self.train_data, masks=self.train_data.masks if masks is None else masks, given=given or {})
        strengths = self.strengths if strengths is None else strengths
        return Runs(
            self.training,
            self.draws,
            self.modules,
            data,
            self.validation_data,
            strengths,
            start,
            self.alike,
            self.sharers,
            self.channels_last,
        )

    def altered(
        self, *, splits: Sequence[Split] | None = None, epochs: int | None = None, only: str | None = None
    ) -> Trainer:
        """The same stack with other training splits, `epochs` or trained parameters; see `methods.fitting.Trainer`."""
        other = copy.copy(self)
        if only is not None:
            other.modules = copy.deepcopy(self.modules)
            for module in other.modules:
                for name, value in module.named_parameters():
                    value.requires_grad_(value.requires_grad and name.startswith(only))
        if epochs is not None:
            other.training = self.training.model_copy(update={"epochs": epochs})
        if splits is not None:
            other.train_data = StackedSplit.of(splits, self.device)
        return other

    def per_input(
        self, fitted: Fitted, function: Callable[[Net, Batch], Shaped[Tensor, "batch *result"]]
    ) -> Shaped[Tensor, "seeds #strengths n *result"]:
        """`function` of every network and every training input."""
        rows, columns = (range(size) for size in fitted.seconds.shape)
        return torch.stack(
            [torch.stack([self.per_input_of_run(fitted, row, column, function) for column in columns]) for row in rows]
        )

    @torch.no_grad()
    @float32_products()
    def per_input_of_run(
        self, fitted: Fitted, row: int, column: int, function: Callable[[Net, Batch], Shaped[Tensor, "batch *result"]]
    ) -> Shaped[Tensor, "n *result"]:
        """`function` of every training input, for the network of one seed (`row`) and one strength (`column`)."""
        net = Net(self.modules[row], {name: value[row, column] for name, value in fitted.parameters.items()})
        data = self.train_data[row : row + 1, column : column + 1]
        return torch.cat([function(net, chunk.of_seed(0)) for chunk in data.chunks(self.dtype)])

    def _balanced(self, mitigation: Objective, runs: Runs, plan: Plan) -> Float[Tensor, "seeds strengths"]:
        """The strengths at which both terms are equal before training; 0 where the right-reason term is 0.

        Raises:
            ValueError: a right-reason term that is negative or not finite.
        """
        runs = replace(runs, strengths=torch.ones_like(runs.strengths))
        part, strengths = parts_of(mitigation, runs), torch.zeros_like(runs.strengths)
        for place in places_of("single" if plan == "single" else "stacked", strengths.shape, part):
            answer, reason = part(place).initial_terms()
            if not bool((torch.isfinite(reason) & (reason >= 0)).all()):
                raise ValueError(
                    f"strength auto needs a right-reason term of at least 0 before training, {mitigation.id} has "
                    f"{reason.min():.3g}: give its strengths as numbers"
                )
            strengths[place] = torch.where(reason > 0, answer / reason, 0.0)
        return strengths

    @property
    def convolves_on_cpu(self) -> bool:
        """Whether a step is convolutions on a CPU, which are hardly ever faster in a stack."""
        return self.device.type == "cpu" and any(isinstance(layer, CONVOLUTIONS) for layer in self.modules[0].modules())

    def _plan(self, mitigation: Objective, runs: Runs, parts: Mapping[Plan, Callable[[Place], Part]]) -> Plan:
        """The plan that was asked for, or the fastest in a trial of a few steps.

        Raises:
            ValueError: stacked runs were asked for, which would be other runs than each alone.
        """
        if self.engine != "auto":
            if self.engine != "single" and not self.alike:
                raise ValueError(f"engine {self.engine}: {self.unstackable}: take single, or auto")
            return self.engine
        if not self.alike:
            run_by_run(self.network.id, self.unstackable)
            return "single"
        key = self.shape_of(mitigation, runs, runs.steps)
        if key not in self.choices:

            def seconds(plan: Plan) -> float:
                """Of one step of all runs."""
                places = places_of(plan, runs.strengths.shape, parts[plan])
                return parts[plan](places[0]).seconds_per_step() * len(places)

            self.choices[key] = fastest(
                seconds,
                runs.strengths.numel(),
                runs.steps,
                lambda why: run_by_run(self.network.id, why),
                self.convolves_on_cpu,
            )
        return self.choices[key]  # pyrefly: ignore[bad-return]

    def shape_of(self, mitigation: Objective, runs: Runs, steps: float) -> str:
        """What decides which plan is the fastest, in words: the key of `choices`.

        Steps are said by their power of ten, because compiling is tried in long trainings only.
        """
        rows, columns = runs.strengths.shape
        batch = (self.training.batch_size, *self.draws[0].features)
        numbers = f"{self.dtype} {self.training.precision}"
        shape = f"{mitigation.id} {self.network.id} {rows}x{columns} runs, batches {batch} {numbers}"
        length = f"10^{round(math.log10(max(1.0, steps)))} steps"
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device
        return f"{shape}, {length}, {platform.node()} {device} {torch.get_num_threads()} threads"


def places_of(plan: Plan, shape: Sequence[int], part: Callable[[Place], Part]) -> list[Place]:
    """The places that are trained after each other under a plan."""
    return split(whole(shape), 1 if plan == "single" else part(FIRST_RUN).how_many_fit())
