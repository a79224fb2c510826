"""Trains a stack: runs of one dataset, network and mitigation that differ only in strength and seed.

Strengths that share a seed share their data, their initialisation and every batch. A stack is trained whole, vmapped
over seeds and strengths, or one run after another through the same code: whichever a short trial finds faster.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal, get_args

import psutil
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor
from torch.func import grad

from ...datasets.base import Batch, ShortcutDataset, Split, generator
from ...methods.base import Mitigation, Terms
from ...methods.network import Net
from ..networks import NetworkRecipe
from ..suite.training import Training
from .stacking import Index, StackedSplit, of_seed, of_seeds, over_stack
from .tracing import Parameters, TracedGradients

Plan = Literal["stacked", "compiled", "single"]
Engine = Literal["auto"] | Plan
Place = tuple[slice, slice]
"""Which seeds and which strengths of a stack."""

CURVES = ("right_answer", "right_reason", "accuracy/validation")
CHUNK = 4096
"""Inputs in one forward pass outside training."""
TRIAL_STEPS = 5
COMPILE_FROM = 120.0
"""Expected seconds of training from which the half minute that compiling takes is worth a trial."""
SHARE_OF_MEMORY = 0.7
"""Of the free memory, what a stack may be expected to take."""


@dataclass(frozen=True)
class Fitted:
    """A trained stack.

    Attributes:
        curves: per epoch, `right_answer` and `right_reason` (means over the epoch's inputs while the network changed)
            and `accuracy/validation`; NaN once every run of a part has diverged.
        liveness: norm of the right-reason term's parameter gradient over the right-answer term's, on the first batch
            of inputs with masks, at the start, the middle and the end of training.
        seconds: of this training; a run of a part has an equal share of the part's.
        metrics: what the mitigation's `fit` measured, for the record.
        passed: the stacks that it trained on the way, in the order of the mitigation's `passes`.
    """

    parameters: Mapping[str, Float[Tensor, "seeds strengths *shape"]]
    curves: Mapping[str, Float[Tensor, "seeds strengths epochs"]]
    liveness: Mapping[str, Float[Tensor, "seeds strengths"]]
    seconds: Float[Tensor, "seeds strengths"]
    metrics: Mapping[str, Float[Tensor, "seeds strengths"]] = field(default_factory=dict)
    passed: Sequence[Fitted] = ()

    @property
    def diverged(self) -> Bool[Tensor, "seeds strengths"]:
        """Runs with a parameter or a last loss that is not finite."""
        last = [self.curves[name][..., -1:] for name in ("right_answer", "right_reason")]
        finite = [torch.isfinite(tensor).flatten(2).all(2) for tensor in (*self.parameters.values(), *last)]
        return ~torch.stack(finite).all(0)

    @classmethod
    def joined(cls, parts: Sequence[tuple[Place, Fitted]], shape: Sequence[int]) -> Fitted:
        """One stack of (seeds, strengths) from its parts."""
        some = parts[0][1]

        def join(of: Callable[[Fitted], Tensor]) -> Tensor:
            whole = of(some).new_empty(*shape, *of(some).shape[2:])
            for place, part in parts:
                whole[place] = of(part)
            return whole

        return cls(
            parameters={name: join(lambda part, name=name: part.parameters[name]) for name in some.parameters},
            curves={name: join(lambda part, name=name: part.curves[name]) for name in some.curves},
            liveness={name: join(lambda part, name=name: part.liveness[name]) for name in some.liveness},
            seconds=join(lambda part: part.seconds),
        )


@dataclass
class Clock:
    """Wall seconds that stages have spent before their trainings: on trials of plans, tracing and compiling."""

    setup: float = 0.0


class Trainer:
    """What a mitigation's `fit` composes: one stack's data, networks and optimiser settings.

    Args:
        network: the architecture, built and initialised anew by each seed.
        draws: the dataset, drawn with each of the seeds.
        strengths: one row a seed.
        engine: `stacked`, `compiled` (stacked, by torch.compile), `single`, or `auto` for whichever a trial of a few
            steps finds faster.
        choices: where `auto` keeps what it found; hand in one that outlives the trainer to save trials.
        progress: called with the number of runs' epochs that were just trained.
        auto: strengths are ratios R. Where a training begins, each run's becomes the lambda at which the right-reason
            term is R times the right-answer term, both meant over all training inputs at the initialisation.

    Attributes:
        clock: shared with the stack `altered`.

    Raises:
        ValueError: a batch larger than the training data, a strength that is negative or not finite, or seeds whose
            networks differ in more than their parameters.
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
        progress: Callable[[int], object] = lambda epochs: None,
        auto: bool = False,
    ) -> None:
        if not bool((torch.isfinite(strengths) & (strengths >= 0)).all()):
            raise ValueError(f"strengths {strengths.tolist()} must be finite and not negative")
        self.device, self.dtype, self.engine, self.progress = torch.device(device), dtype, engine, progress
        self.network, self.training, self.draws, self.auto = network, training, draws, auto
        self.strengths = strengths.to(self.device, dtype)
        self.choices: MutableMapping[str, str] = {} if choices is None else choices
        self.clock = Clock()
        self.train_data = StackedSplit.of([draw.train for draw in draws], self.device)
        self.validation_data = StackedSplit.of([draw.validation for draw in draws], self.device)
        self.modules = [network.build(draw, draw.seed).to(self.device, dtype) for draw in draws]
        first, *others = ([*module.buffers()] for module in self.modules)
        if not all(map(torch.equal, first * len(others), chain.from_iterable(others))):
            raise ValueError(f"{network.id} is not the same constants in every seed: give each seed a stack of its own")
        if training.batch_size > len(self.train_data):
            raise ValueError(
                f"batch_size = {training.batch_size} is larger than the training data of {draws[0].id} "
                f"({len(self.train_data)} inputs): lower it"
            )

    def train(
        self,
        mitigation: Mitigation,
        *,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None = None,
        strengths: Float[Tensor, "seeds strengths"] | None = None,
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None = None,
        start: Parameters | None = None,
    ) -> Fitted:
        """Trains the stack from its seeds' initialisations with the mitigation's terms.

        A part that does not fit into memory after all is halved and begun again.

        Args:
            masks: instead of the dataset's; one for all strengths of a seed, or one for each.
            strengths: instead of the stack's.
            given: what `terms` and `augment` find in `batch.draws`, for each training input.
            start: parameters (seeds, strengths, *shape) to go on from; the optimiser begins anew.

        Raises:
            ValueError: masks for each strength, and a mitigation that augments: its draws are for all of a seed's.
        """
        begin, strengths = time.perf_counter(), self.strengths if strengths is None else strengths
        if self.auto:
            strengths = strengths * self._balanced(mitigation, masks, torch.ones_like(strengths), given, start)
        parts = {
            plan: self.parts(mitigation, masks, strengths, plan == "compiled", given, start) for plan in get_args(Plan)
        }
        plan = self._plan(mitigation, strengths, parts)
        part, waiting, done = parts[plan], self._places(plan, strengths, parts[plan]), []
        while waiting:
            place, *waiting = waiting
            try:
                done.append((place, part(place).train()))
            except RuntimeError as error:
                if not out_of_memory(error) or size_of(place) == 1:
                    raise
                waiting = [*halves(place), *waiting]
        fitted = Fitted.joined(done, strengths.shape)
        self.clock.setup += time.perf_counter() - begin - float(fitted.seconds.sum())
        return replace(fitted, metrics={"strength": strengths}) if self.auto else fitted

    def parts(
        self,
        mitigation: Mitigation,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None = None,
        strengths: Float[Tensor, "seeds strengths"] | None = None,
        compiled: bool = False,
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None = None,
        start: Parameters | None = None,
    ) -> Callable[[Place], Part]:
        """What makes the part at a place, ready to be trained; parts of one shape share their traced programs."""
        data = replace(self.train_data, masks=self.train_data.masks if masks is None else masks, given=given or {})
        strengths = self.strengths if strengths is None else strengths
        if data.masks.shape[1] > 1 and augments(mitigation):
            raise ValueError(
                f"{mitigation.id} got masks for each of {data.masks.shape[1]} strengths, but its augment draws once "
                "for all strengths of a seed: give one mask a seed, or train strength by strength"
            )
        module, touched = self.modules[0], data.touched()

        def terms(parameters: Parameters, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
            return mitigation.terms(Net(module, parameters), batch._replace(touched=touched), strength)

        gradients = TracedGradients(over_stack(terms, masks_by_strength=data.masks.shape[1] > 1), compiled)

        def part(place: Place) -> Part:
            begin = None if start is None else {name: value[place] for name, value in start.items()}
            return Part(self, mitigation, data[place], strengths[place], gradients, place[0], begin)

        return part

    def altered(self, *, splits: Sequence[Split] | None = None, **training: object) -> Trainer:
        """The same stack, to be trained on other splits (one a seed) or with other settings of `training`."""
        other = copy.copy(self)
        other.training = self.training.model_copy(update=training)
        if splits is not None:
            other.train_data = StackedSplit.of(splits, self.device)
        return other

    def per_input(
        self, fitted: Fitted, function: Callable[[Net, Batch], Shaped[Tensor, "batch *result"]]
    ) -> Shaped[Tensor, "seeds #strengths n *result"]:
        """What `function` says of every training input, for every network."""
        rows, columns = (range(size) for size in fitted.seconds.shape)
        return torch.stack(
            [torch.stack([self.per_input_of_run(fitted, row, column, function) for column in columns]) for row in rows]
        )

    @torch.no_grad()
    def per_input_of_run(
        self, fitted: Fitted, row: int, column: int, function: Callable[[Net, Batch], Shaped[Tensor, "batch *result"]]
    ) -> Shaped[Tensor, "n *result"]:
        """What `function` says of every training input, for the network of one seed and strength."""
        net = Net(self.modules[row], {name: value[row, column] for name, value in fitted.parameters.items()})
        data = self.train_data[row : row + 1, column : column + 1]
        return torch.cat([function(net, of_seed(chunk, 0)) for chunk in data.chunks(CHUNK, self.dtype)])

    def _balanced(
        self,
        mitigation: Mitigation,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None,
        ones: Float[Tensor, "seeds strengths"],
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None,
        start: Parameters | None,
    ) -> Float[Tensor, "seeds strengths"]:
        """The strengths at which both terms are equal before training; 0 where the right-reason term is.

        Raises:
            ValueError: a right-reason term that is negative or not finite.
        """
        parts, strengths = self.parts(mitigation, masks, ones, False, given, start), torch.zeros_like(ones)
        for place in self._places("stacked", ones, parts):
            answer, reason = parts(place).initial_terms()
            if not bool((torch.isfinite(reason) & (reason >= 0)).all()):
                raise ValueError(
                    f"strength auto needs a right-reason term of at least 0 before training, {mitigation.id} has "
                    f"{reason.min():.3g}: give its strengths as numbers"
                )
            strengths[place] = torch.where(reason > 0, answer / reason, 0.0)
        return strengths

    def _places(
        self, plan: Plan, strengths: Float[Tensor, "seeds strengths"], part: Callable[[Place], Part]
    ) -> list[Place]:
        rows, columns = strengths.shape
        most = 1 if plan == "single" else part((slice(0, 1), slice(0, 1))).how_many_fit()
        return split((slice(0, rows), slice(0, columns)), most)

    def _plan(
        self,
        mitigation: Mitigation,
        strengths: Float[Tensor, "seeds strengths"],
        parts: Mapping[Plan, Callable[[Place], Part]],
    ) -> Plan:
        """The engine that was asked for, or the fastest in a trial of a few steps."""
        if self.engine != "auto":
            return self.engine
        rows, columns = strengths.shape
        batch = (self.training.batch_size, *self.draws[0].features)
        shape = f"{mitigation.id} {self.network.id} {rows}x{columns} runs, batches {batch} {self.dtype}"
        key = f"{shape}, {self.device} {torch.get_num_threads()} threads"
        if key not in self.choices:

            def seconds(plan: Plan) -> float:
                """Of one step of all runs."""
                places = self._places(plan, strengths, parts[plan])
                return parts[plan](places[0]).seconds_per_step() * len(places)

            took: dict[Plan, float] = {"stacked": seconds("stacked"), "single": seconds("single")}
            steps = self.training.epochs * len(self.train_data) / self.training.batch_size
            if took["stacked"] <= took["single"] and steps * took["stacked"] > COMPILE_FROM:
                with suppress(RuntimeError):  # torch's errors where there is no C++ compiler, or too little memory
                    took["compiled"] = seconds("compiled")
            self.choices[key] = min(took, key=took.__getitem__)
        return self.choices[key]  # pyrefly: ignore[bad-return]


def split(place: Place, most: int) -> list[Place]:
    """The place, halved until no part has more than `most` runs."""
    return [place] if size_of(place) <= max(1, most) else [p for half in halves(place) for p in split(half, most)]


def halves(place: Place) -> tuple[Place, Place]:
    """Two parts of a place of several runs; by strengths first, because they share their seed's batches."""
    seeds, strengths = place
    if strengths.stop - strengths.start > 1:
        middle = (strengths.start + strengths.stop) // 2
        return (seeds, slice(strengths.start, middle)), (seeds, slice(middle, strengths.stop))
    middle = (seeds.start + seeds.stop) // 2
    return (slice(seeds.start, middle), strengths), (slice(middle, seeds.stop), strengths)


def size_of(place: Place) -> int:
    """How many runs are there."""
    seeds, strengths = place
    return (seeds.stop - seeds.start) * (strengths.stop - strengths.start)


def augments(mitigation: Mitigation) -> bool:
    """Whether it draws anything for a batch."""
    return type(mitigation).augment is not Mitigation.augment


def out_of_memory(error: RuntimeError) -> bool:
    """Whether an allocation failed, on either kind of device."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def free_memory(device: torch.device) -> int:
    """Bytes that may be allocated on the device."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available


class Part:
    """Runs that are trained together: a whole stack, or one run of it."""

    def __init__(
        self,
        trainer: Trainer,
        mitigation: Mitigation,
        data: StackedSplit,
        strengths: Float[Tensor, "seeds strengths"],
        gradients: TracedGradients,
        seeds: slice,
        start: Parameters | None = None,
    ) -> None:
        self.trainer, self.training, self.mitigation = trainer, trainer.training, mitigation
        self.data, self.strengths, self.gradients = data, strengths, gradients
        self.validation, self.draws = trainer.validation_data[seeds, :], trainer.draws[seeds]
        modules = trainer.modules[seeds]
        self.module = modules[0]
        self.own = [mitigation.parameters(*of) for of in zip(modules, self.draws, strict=True)]
        initial = [{**dict(module.named_parameters()), **own} for module, own in zip(modules, self.own, strict=True)]
        self.parameters = {
            name: torch.stack([named[name].detach().to(strengths) for named in initial])[:, None].repeat_interleave(
                strengths.shape[1], 1
            )
            for name in initial[0]
        }
        if start is not None:
            self.parameters |= {name: value.clone() for name, value in start.items()}
        self.optimizer = optimizer(self.training, list(self.parameters.values()))
        self.orders = self._generators("order")
        self.augments = self._generators("augment")

    def train(self) -> Fitted:
        start, n, epochs = time.perf_counter(), len(self.data), self.training.epochs
        shape, runs = self.strengths.shape, self.strengths.numel()
        curves = {name: self.strengths.new_full((*shape, epochs), torch.nan) for name in CURVES}
        liveness = {"start": self.liveness()}
        for epoch in range(epochs):
            sums = self.strengths.new_zeros(2, *shape)
            for index, size in self._indices():
                sums += torch.stack(self.step(self._batch(index, self.augments))) * size
            curves["right_answer"][..., epoch], curves["right_reason"][..., epoch] = sums / n
            curves["accuracy/validation"][..., epoch] = self._validation_accuracy()
            if epoch == (epochs - 1) // 2:
                liveness["middle"] = self.liveness()
            self.trainer.progress(runs)
            if not torch.isfinite(sums.sum(0)).any():  # every run of this part has diverged
                self.trainer.progress(runs * (epochs - epoch - 1))
                break
        liveness["end"] = self.liveness()
        return Fitted(
            parameters=self._of_network(self.parameters),
            curves=curves,
            liveness={"middle": liveness["end"], **liveness},
            seconds=self.strengths.new_full(shape, (time.perf_counter() - start) / runs),
        )

    def step(self, batch: Batch) -> Terms:
        """One optimiser step of every run; both terms as they were before it."""
        gradients, terms = self.gradients(self.parameters, batch, self.strengths)
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name].contiguous()  # torch's fused optimisers read a transposed one wrongly
        self.optimizer.step()
        return terms

    def liveness(self) -> Float[Tensor, "seeds strengths"]:
        """Norm of the right-reason term's gradient over the right-answer term's, on the first inputs with masks.

        Where these are fewer than a batch, the first of the others fill it.
        """
        bare = ~self.data.masks.flatten(3).any(3).any(1)
        first = bare.to(torch.uint8).argsort(dim=1, stable=True)[:, : self.training.batch_size]
        batch = self._batch(first, self._generators("liveness"))

        def norm(term: Literal["right_answer", "right_reason"]) -> Float[Tensor, "seeds strengths"]:
            def total(parameters: Parameters) -> Tensor:
                return getattr(self.gradients.terms(parameters, batch, self.strengths), term).sum()

            gradients = self._of_network(grad(total)(self.parameters))
            squares = [gradient.square().flatten(2).sum(2) for gradient in gradients.values()]
            return torch.stack(squares).sum(0).sqrt()

        return norm("right_reason") / norm("right_answer")

    def _of_network(self, parameters: Parameters) -> Parameters:
        """Without the mitigation's own."""
        return {name: value for name, value in parameters.items() if name not in self.own[0]}

    def initial_terms(self) -> Terms:
        """Both terms as they are now, meant over all inputs in order."""
        n, size, generators = len(self.data), self.training.batch_size, self._generators("auto")
        sums = self.strengths.new_zeros(2, *self.strengths.shape)
        for begin in range(0, n, size):
            batch = self._batch(slice(begin, begin + size), generators)
            sums += torch.stack(self.gradients.terms(self.parameters, batch, self.strengths)) * batch.labels.shape[1]
        return Terms(*(sums / n).detach())

    def how_many_fit(self) -> int:
        """How many runs like this one can be trained together in the device's free memory."""
        batch = self._batch(slice(0, self.training.batch_size), self.augments)
        needed = self.gradients.trace(self.parameters, batch, self.strengths)
        return int(SHARE_OF_MEMORY * free_memory(self.trainer.device) / needed)

    def seconds_per_step(self) -> float:
        """The fastest of a few steps. They move the parameters: the part is of no use afterwards."""
        batch, seconds = self._batch(slice(0, self.training.batch_size), self.augments), []
        self.gradients.trace(self.parameters, batch, self.strengths)
        for _ in range(TRIAL_STEPS):
            start = time.perf_counter()
            self.step(batch)
            if self.strengths.is_cuda:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    def _indices(self) -> Iterator[tuple[Index, int]]:
        """One epoch's batches and their sizes; the last one may be smaller."""
        n, size = len(self.data), self.training.batch_size
        if self.training.shuffle:
            order = torch.stack([torch.randperm(n, generator=generator) for generator in self.orders])
            yield from ((index, index.shape[1]) for index in order.to(self.trainer.device).split(size, dim=1))
        else:
            yield from ((slice(start, start + size), min(size, n - start)) for start in range(0, n, size))

    def _batch(self, index: Index, generators: Sequence[torch.Generator]) -> Batch:
        batch = self.data.batch(index, self.trainer.dtype)
        if not augments(self.mitigation):
            return batch
        classes = self.draws[0].classes
        return of_seeds(
            [self.mitigation.augment(of_seed(batch, i), classes, drawn) for i, drawn in enumerate(generators)]
        )

    def _generators(self, stream: str) -> list[torch.Generator]:
        seeds = [int(generator(draw.seed, stream).integers(2**63)) for draw in self.draws]
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    @torch.no_grad()
    def _validation_accuracy(self) -> Float[Tensor, "seeds strengths"]:
        def correct(parameters: Parameters, batch: Batch, strength: Tensor) -> Terms:
            hits = (Net(self.module, parameters)(batch.inputs).argmax(-1) == batch.labels).to(strength)
            return Terms(hits.sum(), hits.sum())

        count = over_stack(correct, masks_by_strength=False)
        hits = [
            count(self.parameters, chunk, self.strengths).right_answer
            for chunk in self.validation.chunks(CHUNK, self.trainer.dtype)
        ]
        return torch.stack(hits).sum(0) / len(self.validation)


def optimizer(training: Training, parameters: list[Tensor]) -> torch.optim.Optimizer:
    """The optimiser of `training`; elementwise, so that the runs of a stack do not touch each other."""
    settings = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": True}
    match training.optimizer:
        case "adam":
            return torch.optim.Adam(parameters, **settings)
        case "adamw":
            return torch.optim.AdamW(parameters, **settings)
        case "sgd":
            return torch.optim.SGD(parameters, momentum=training.momentum, **settings)
