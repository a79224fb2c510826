"""What to run: a TOML file, validated, as runs with keys and as stacks of runs that are trained together."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf, ValidationError, model_validator

from ..datasets.base import Corruption, Recipe, datasets
from ..datasets.registry import UnknownName, nearest
from ..methods.base import Mitigation, mitigations
from ..methods.explainers.base import Explainer, explainers
from ..methods.published import Reduction, from_published
from . import suites
from .networks import NetworkRecipe, networks
from .protocol import PROTOCOL_VERSION
from .training import Training

AUTO = "auto:"
Strength = (
    Annotated[float, Field(ge=0, allow_inf_nan=False)]
    | Annotated[str, Field(pattern=rf"^{AUTO}\d+(\.\d+)?(e[+-]?\d+)?$")]
)
"""A number, or "auto:R"."""
Measured = Annotated[InstanceOf[Explainer], BeforeValidator(explainers.resolve)]
"""An explainer; its name, or a table of its name and parameters."""


class BadSuite(ValueError):
    """A suite file that cannot be run as it is; the message says where and why."""


@dataclass(frozen=True)
class Stack:
    """Runs that differ only in strength and seed: every one of `strengths` with every one of `seeds`.

    Attributes:
        auto: strengths are ratios of the right-reason to the right-answer term at initialisation, see `Trainer`.
        explainers: those that are measured beside the protocol's; part of the key, if there are any.
    """

    dataset: Recipe
    network: NetworkRecipe
    mitigation: Mitigation
    training: Training
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]
    auto: bool = False
    explainers: tuple[Explainer, ...] = ()

    def configuration(self, strength: float, seed: int) -> dict[str, Any]:
        """Everything that decides one run's numbers, resolved."""
        explained = {"explainers": [explainer.resolved() for explainer in self.explainers]} if self.explainers else {}
        return {
            "protocol": PROTOCOL_VERSION,
            "dataset": {**self.dataset.resolved(), "version": self.dataset.version},
            "network": self.network.resolved(),
            "mitigation": self.mitigation.resolved(),
            "training": self.training.model_dump(mode="json"),
            "strength": f"{AUTO}{float(strength)!r}" if self.auto else float(strength),
            "seed": seed,
            **explained,
        }

    @property
    def label(self) -> str:
        """The mitigation, and whether its strengths are automatic: `rrr`, `rrr:auto`."""
        return self.mitigation.id + (":auto" if self.auto else "")

    def key(self, strength: float, seed: int) -> str:
        """The run key: SHA-256 of the configuration."""
        return _sha256(self.configuration(strength, seed))

    def places(self) -> dict[str, tuple[float, int]]:
        """The (strength, seed) of every run key."""
        return {self.key(strength, seed): (strength, seed) for strength in self.strengths for seed in self.seeds}

    @property
    def sweep_key(self) -> str:
        """Shared by the runs that a reader compares: one dataset, whatever its masks, network and training."""
        configuration = replace(self, dataset=self.dataset.with_masks()).configuration(0.0, 0)
        return _sha256({name: configuration[name] for name in ("protocol", "dataset", "network", "training")})

    def dataset_key(self, seed: int) -> str:
        """One draw of the dataset; two digests under one such key are an error."""
        return _sha256({"dataset": self.configuration(0.0, seed)["dataset"], "seed": seed})

    def without(self, finished: Collection[str]) -> Iterator[Stack]:
        """The runs that are not finished, as stacks again."""
        missing = {seed: tuple(s for s in self.strengths if self.key(s, seed) not in finished) for seed in self.seeds}
        for strengths, seeds in groupby(sorted(self.seeds, key=lambda seed: missing[seed]), missing.__getitem__):
            if strengths:
                yield replace(self, strengths=strengths, seeds=tuple(sorted(seeds)))

    def with_passed(self) -> list[Stack]:
        """This stack and those that its training gives too."""
        return [self, *(replace(self, mitigation=mitigation) for mitigation in self.mitigation.passes)]

    def runs(self) -> Iterator[Stack]:
        """Every run as a stack of its own."""
        for seed in self.seeds:
            for strength in self.strengths:
                yield replace(self, strengths=(strength,), seeds=(seed,))

    @property
    def epochs(self) -> int:
        """Of all its runs and stages: what a progress bar expects."""
        return len(self) * self.training.epochs * self.mitigation.stages

    def divided(self, parts: int) -> list[Stack]:
        """At least so many stacks, if there are as many runs; by seeds first: strengths share their seed's batches."""
        seeds = _chunks(self.seeds, parts)
        strengths = _chunks(self.strengths, -(-parts // len(seeds)))
        return [replace(self, seeds=some, strengths=few) for some in seeds for few in strengths]

    def __len__(self) -> int:
        return len(self.strengths) * len(self.seeds)


class Units(BaseModel):
    """The units in which a paper states its strengths; see `methods.published.from_published`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    right_reason: Reduction = "sum"
    right_answer: Reduction = "sum"
    pixel_range: tuple[float, float] = (0.0, 1.0)
    entries: Annotated[int, Field(ge=1)] = 1


class MitigationSweep(BaseModel):
    """One mitigation and its strengths: numbers in rrrbench's unit or in a paper's `units`, and "auto:R"."""

    model_config = ConfigDict(frozen=True, extra="forbid")
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
        return self

    def converted(self, batch_size: int) -> tuple[float, ...]:
        """The numbers in rrrbench's unit, sorted, each once; 0 for a mitigation without the axis."""
        ours = {self.in_our_unit(s, batch_size) for s in self.strengths if not isinstance(s, str)}
        return tuple(sorted(ours)) or (() if self.strengths else (0.0,))

    def in_our_unit(self, strength: float, batch_size: int) -> float:
        """A strength as this row gives it, in rrrbench's unit."""
        if self.units is None:
            return strength
        return from_published(strength, batch_size=batch_size, **self.units.model_dump())

    @property
    def ratios(self) -> tuple[float, ...]:
        """The R of every "auto:R", sorted, each once."""
        return tuple(sorted({float(s.removeprefix(AUTO)) for s in self.strengths if isinstance(s, str)}))


class Sweep(BaseModel):
    """Mitigations that are compared: on one dataset, with one network, trained one way.

    Attributes:
        label: by which a published number names the sweep that measures it.
        trials: so many seeds, from 0, instead of the suite's.
        controls: masks with which those that use masks are trained again: a corruption, or true masks on that many
            inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    dataset: Annotated[InstanceOf[Recipe], BeforeValidator(datasets.resolve)]
    network: Annotated[InstanceOf[NetworkRecipe], BeforeValidator(networks.resolve)]
    training: Training = Training()
    mitigations: Annotated[tuple[MitigationSweep, ...], Field(min_length=1)]
    label: str = ""
    trials: Annotated[int, Field(ge=1)] | None = None
    controls: tuple[Corruption | Annotated[int, Field(ge=0)], ...] = ()

    def stacks(self, seeds: Sequence[int]) -> Iterator[Stack]:
        """Each mitigation's, followed by those of its controls."""
        seeds = sorted(set(seeds)) if self.trials is None else range(self.trials)
        for row in self.mitigations:
            for dataset in [self.dataset, *(self._controls() if "masks" in row.mitigation.needs else ())]:
                for strengths, auto in ((row.converted(self.training.batch_size), False), (row.ratios, True)):
                    if strengths:
                        yield Stack(dataset, self.network, row.mitigation, self.training, strengths, tuple(seeds), auto)

    def _controls(self) -> Iterator[Recipe]:
        for masks in self.controls:
            yield self.dataset.with_masks(masks) if isinstance(masks, str) else self.dataset.with_masks(annotated=masks)


class Suite(BaseModel):
    """A named list of sweeps.

    Attributes:
        sweeps: one whose `dataset` is a list is a sweep on each of them.
        save_models: keep every run's state dict as an artifact.
        explainers: to be measured on every network, and ranked: see `explainer_board`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    description: str = ""
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    save_models: bool = False
    explainers: tuple[Measured, ...] = ()
    sweeps: Annotated[tuple[Sweep, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _on_each_dataset(cls, content: Any) -> Any:
        def each(sweep: Any) -> list[Any]:
            several = isinstance(sweep, dict) and isinstance(sweep.get("dataset"), list)
            return [{**sweep, "dataset": dataset} for dataset in sweep["dataset"]] if several else [sweep]

        if not isinstance(content, dict) or not isinstance(content.get("sweeps"), list):
            return content  # and let validation say so
        return {**content, "sweeps": [one for sweep in content["sweeps"] for one in each(sweep)]}

    def stacks(self) -> list[Stack]:
        """All runs of the suite, in the order in which they are trained."""
        stacks = [stack for sweep in self.sweeps for stack in sweep.stacks(self.seeds)]
        return [replace(stack, explainers=self.explainers) for stack in stacks] if self.explainers else stacks

    def keys(self) -> list[str]:
        """The key of every run, each once."""
        return list(dict.fromkeys(key for stack in self.stacks() for key in stack.places()))

    def with_seeds(self, most: int) -> Suite:
        """The same suite with the first so many seeds of each sweep."""
        sweeps = [sweep.model_copy(update={"trials": min(sweep.trials, most)}) if sweep.trials else sweep
                  for sweep in self.sweeps]  # fmt: skip
        return self.model_copy(update={"seeds": tuple(sorted(set(self.seeds))[:most]), "sweeps": tuple(sweeps)})


def load_suite(name_or_path: str) -> Suite:
    """A suite by name, or from a TOML file.

    Raises:
        UnknownName: no such suite, dataset, network or mitigation.
        BadSuite: TOML that does not parse, unknown keys, wrong types, values outside their range.
    """
    path = suites.path_of(name_or_path)
    if not path.is_file():
        wanted = f"there is no suite {name_or_path!r}" + (" at that path" if path.suffix in name_or_path else "")
        raise UnknownName(f"{wanted}; {nearest(name_or_path, suites.names())}")
    try:
        content = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise BadSuite(f"{path}: not TOML: {error}") from error
    return parse_suite({"name": path.stem, **content}, str(path))


def parse_suite(content: Mapping[str, Any], origin: str) -> Suite:
    """A suite from its parsed TOML; `origin` is named in errors."""
    try:
        return Suite.model_validate(content)
    except ValidationError as error:
        raise BadSuite(f"{origin}: " + "\n  ".join(_problems(error))) from error
    except UnknownName as error:
        raise UnknownName(f"{origin}: {error}") from error


def _problems(error: ValidationError) -> list[str]:
    """One line a mistake; a container that is wrong because something in it is gets none."""
    details = error.errors()
    places = [detail["loc"] for detail in details]
    return [
        _problem(detail)
        for detail in details
        if not any(len(place) > len(detail["loc"]) and place[: len(detail["loc"])] == detail["loc"] for place in places)
    ]


def _problem(detail: Any) -> str:
    place, given = ".".join(str(part) for part in detail["loc"]), detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{place} is not a key; {nearest(str(detail['loc'][-1]), _known_keys(detail['loc']))}"
    value = f" (got {given!r})" if isinstance(given, str | int | float) else ""
    return f"{place}: {detail['msg'].removeprefix('Value error, ')}{value}"


def _known_keys(location: Sequence[str | int]) -> list[str]:
    model: type[BaseModel] = Suite
    nested = {"sweeps": Sweep, "mitigations": MitigationSweep, "training": Training, "units": Units}
    for part in location[:-1]:
        model = nested.get(str(part), model)
    return list(model.model_fields)


def _chunks(items: tuple[Any, ...], parts: int) -> list[tuple[Any, ...]]:
    """At most so many chunks, whose sizes differ by one at most."""
    parts = min(parts, len(items))
    ends = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def _sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
