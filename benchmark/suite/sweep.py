"""Suites as validated models of their TOML: sweeps of mitigations over strengths and seeds, listed as stacks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, get_args

from pydantic import (
    BeforeValidator,
    Field,
    InstanceOf,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from ...datasets.as_written import AsWritten, ValueRange
from ...datasets.masks import Corruption
from ...datasets.recipe import Recipe, datasets
from ...methods.base import Mitigation, mitigations
from ...methods.explainers.base import Explainer, explainers
from ...methods.units import Reduction, from_published
from ..networks import NetworkRecipe, networks
from .explanation import CounterfactualSweep
from .naming import SuiteName
from .stack import AUTO, MitigationStack, Stack, dataset_key
from .training import Training


def one_message(message: str) -> WrapValidator:
    """Says `message` once for a value of none of a union's types, where pydantic has a line for each type."""

    def validate(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        try:
            return validate(given)
        except ValidationError as error:
            raise ValueError(message) from error

    return WrapValidator(validate)


PUBLISHED = "published"
"""For the mitigation's `published_strength`, which is in rrrbench's unit."""
Strength = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)]
    | Annotated[str, Field(pattern=rf"^({AUTO}\d+(\.\d+)?(e[+-]?\d+)?|{PUBLISHED})$")],
    one_message(
        f'expected a finite number greater than or equal to 0, e.g. 0.1, "{AUTO}R" for a ratio R of the terms at '
        f'initialisation, e.g. "{AUTO}1", or "{PUBLISHED}" for the strength of the paper'
    ),
]
"""A number in the units of its row, "auto:R" for a ratio R of the terms at initialisation, or "published"."""
MOST_TRIALS = 100_000
Measured = Annotated[InstanceOf[Explainer], BeforeValidator(explainers.resolve)]
"""An explainer, given by its name or by a table of its name and parameters."""


Control = Annotated[
    Corruption | Annotated[int, Field(ge=0)],
    one_message(
        f"expected {', '.join(map(repr, get_args(Corruption)))}, or a number of inputs greater than or equal to 0"
    ),
]
"""A corruption of the masks, or a number of inputs that keep their true masks."""


class Units(AsWritten):
    """The units in which a paper states its strengths; see `methods.units.from_published`."""

    right_reason: Reduction = "sum"
    right_answer: Reduction = "sum"
    pixel_range: ValueRange = (0.0, 1.0)
    entries: Annotated[int, Field(ge=1)] = 1


class MitigationSweep(AsWritten):
    """One mitigation and its strengths: numbers in rrrbench's unit or in a paper's `units`, "auto:R", and "published".

    The published strength is in rrrbench's unit, whatever `units` say.
    """

    mitigation: Annotated[InstanceOf[Mitigation], BeforeValidator(mitigations.resolve)]
    strengths: tuple[Strength, ...] = ()
    units: Units | None = None

    @model_validator(mode="after")
    def _strengths_where_there_is_an_axis(self) -> MitigationSweep:
        name, has_strength = self.mitigation.id, self.mitigation.has_strength
        if has_strength and not self.strengths:
            raise ValueError(f"{name} needs strengths, e.g. strengths = [0.01, 0.1, 1.0]")
        if not has_strength and self.strengths:
            raise ValueError(f"{name} has no strength: remove strengths = {list(self.strengths)}")
        if PUBLISHED in self.strengths and self.mitigation.published_strength is None:
            raise ValueError(f"{name}: no published strength is known: give its strengths as numbers")
        return self

    def converted(self, batch_size: int) -> tuple[float, ...]:
        """Converts the numbers to rrrbench's unit, sorted, without duplicates; 0 for a mitigation without strength."""
        ours = {self.in_our_unit(s, batch_size) for s in self.fixed}
        return tuple(sorted(ours)) or (() if self.strengths else (0.0,))

    @property
    def fixed(self) -> tuple[float | str, ...]:
        """The strengths that are known before training: numbers, and "published"."""
        return tuple(s for s in self.strengths if not isinstance(s, str) or s == PUBLISHED)

    def in_our_unit(self, strength: float | str, batch_size: int) -> float:
        """Converts a strength from this row's `units` to rrrbench's unit; "published" is in it."""
        if isinstance(strength, str):
            return float(self.mitigation.published_strength or 0.0)
        if self.units is None:
            return strength
        return from_published(strength, batch_size=batch_size, **self.units.model_dump())

    @property
    def ratios(self) -> tuple[float, ...]:
        """The R of every "auto:R", sorted, without duplicates."""
        return tuple(sorted({float(s.removeprefix(AUTO)) for s in self.strengths if isinstance(s, str) and AUTO in s}))


class Sweep(AsWritten):
    """Mitigations that are compared on the same dataset, with the same network and training.

    Attributes:
        label: name of the sweep, by which a published number refers to it.
        trials: number of seeds, counted from 0, instead of the suite's seeds.
        controls: further masks for the mitigations that use masks: a corruption of the masks, or a number of inputs
            that keep their true masks.
    """

    dataset: Annotated[InstanceOf[Recipe], BeforeValidator(datasets.resolve)]
    network: Annotated[InstanceOf[NetworkRecipe], BeforeValidator(networks.resolve)]
    training: Training = Training()
    mitigations: Annotated[tuple[MitigationSweep, ...], Field(min_length=1)]
    label: str = ""
    trials: Annotated[int, Field(ge=1, le=MOST_TRIALS)] | None = None
    controls: tuple[Control, ...] = ()

    def stacks(self, seeds: Sequence[int]) -> Iterator[MitigationStack]:
        """Lists the stacks of each mitigation, followed by the stacks of its controls."""
        seeds = sorted(set(seeds)) if self.trials is None else range(self.trials)
        for row in self.mitigations:
            for dataset in [self.dataset, *(self._controls() if "masks" in row.mitigation.needs else ())]:
                for strengths, auto in ((row.converted(self.training.batch_size), False), (row.ratios, True)):
                    if strengths:
                        given = dataset, self.network, row.mitigation, self.training
                        yield MitigationStack(*given, strengths, tuple(seeds), auto)

    def _controls(self) -> Iterator[Recipe]:
        for masks in self.controls:
            yield self.dataset.with_masks(masks) if isinstance(masks, str) else self.dataset.with_masks(annotated=masks)


class Suite(AsWritten):
    """A named list of sweeps, either of mitigations or of counterfactual explainers.

    Attributes:
        sweeps: a sweep whose `dataset` is a list becomes a sweep on each dataset of the list.
        counterfactuals: sweeps of counterfactual explainers; a list as `dataset` likewise.
        save_models: keep every run's state dict as an artifact.
        explainers: explainers to measure on every network and to rank, see `explainer_board`.
    """

    name: SuiteName
    description: str = ""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    save_models: bool = False
    explainers: tuple[Measured, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    counterfactuals: tuple[CounterfactualSweep, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _on_each_dataset(cls, content: Any) -> Any:
        def by_dataset(sweep: Any) -> list[Any]:
            several = isinstance(sweep, dict) and isinstance(sweep.get("dataset"), list) and sweep["dataset"]
            return [{**sweep, "dataset": dataset} for dataset in sweep["dataset"]] if several else [sweep]

        if not isinstance(content, dict):
            return content  # validation reports the mistake
        lists = {kind: content[kind] for kind in ("sweeps", "counterfactuals") if isinstance(content.get(kind), list)}
        expanded = {
            kind: [single for sweep in sweeps for single in by_dataset(sweep)] for kind, sweeps in lists.items()
        }
        return {**content, **expanded}

    @model_validator(mode="after")
    def _of_one_kind(self) -> Suite:
        if not self.sweeps and not self.counterfactuals:
            raise ValueError("a suite needs [[sweeps]], or [[counterfactuals]] for counterfactual explainers")
        if self.counterfactuals and (self.sweeps or self.explainers):
            raise ValueError("[[counterfactuals]] cannot be beside sweeps or explainers: their boards differ; split it")
        return self

    def stacks(self) -> list[Stack]:
        """Lists all runs of the suite as stacks, in the order of training."""
        explained = [stack for sweep in self.counterfactuals for stack in sweep.stacks(self.seeds)]
        trained = [stack for sweep in self.sweeps for stack in sweep.stacks(self.seeds)]
        return [*(replace(stack, explainers=self.explainers) for stack in trained), *explained]

    def keys(self) -> list[str]:
        """Lists the run keys, without duplicates."""
        return list(dict.fromkeys(key for stack in self.stacks() for key in stack.places()))

    def dataset_keys(self) -> list[str]:
        """Lists the draws of datasets, with their true masks, without duplicates."""
        draws = [(stack.dataset, seed) for stack in self.stacks() for seed in stack.seeds]
        return list(dict.fromkeys(dataset_key(dataset.with_masks(), seed)
                                  for dataset, seed in draws if isinstance(dataset, Recipe)))  # fmt: skip

    def with_seeds(self, most: int) -> Suite:
        """The same suite with at most the first `most` seeds of each sweep."""
        sweeps = [sweep.model_copy(update={"trials": min(sweep.trials, most)}) if sweep.trials else sweep
                  for sweep in self.sweeps]  # fmt: skip
        return self.model_copy(update={"seeds": tuple(sorted(set(self.seeds))[:most]), "sweeps": tuple(sweeps)})
