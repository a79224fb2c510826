"""Stacks: runs that are trained together, and the keys of runs, sweeps and datasets."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, Self

from ...datasets.recipe import Recipe
from ...datasets.registry import Named
from ...methods.base import Mitigation
from ...methods.explainers.base import Explainer
from ..networks import NetworkRecipe
from .protocol import PROTOCOL_VERSION
from .training import Training

AUTO = "auto:"


class Stack(ABC):
    """Runs that are trained together: every strength of `strengths` with every seed of `seeds`.

    Each kind of stack is a frozen dataclass with its own way to be run, see `running.executors.run_stack`.
    """

    if TYPE_CHECKING:  # the fields of every kind, which are read-only; at run time a property would be their default

        @property
        def dataset(self) -> Named: ...
        @property
        def strengths(self) -> tuple[float, ...]: ...
        @property
        def seeds(self) -> tuple[int, ...]: ...

    @abstractmethod
    def configuration(self, strength: float, seed: int) -> dict[str, Any]:
        """Everything that decides a run's numbers, defaults included; records show it."""

    @abstractmethod
    def identity(self, strength: float, seed: int) -> dict[str, Any]:
        """The configuration without fields at their defaults; the run key is its hash.

        A field that is added later, with a default, therefore changes no key. A class whose default changes needs a new
        `version`, which changes the keys.
        """

    @property
    @abstractmethod
    def compared(self) -> dict[str, Any]:
        """The part of the identity that is the same in all runs that a reader compares; the sweep key is its hash."""

    @property
    @abstractmethod
    def names(self) -> dict[str, Any]:
        """The fields of a record that are for display: `dataset`, `masks`, `network`, `mitigation`, and so on."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What the runs are of: a mitigation, an explainer."""

    @property
    @abstractmethod
    def epochs(self) -> int:
        """Number of epochs of all runs and stages together, for progress bars."""

    @abstractmethod
    def of(self, strengths: tuple[float, ...], seeds: tuple[int, ...]) -> Self:
        """The same stack with these strengths and seeds."""

    def key(self, strength: float, seed: int) -> str:
        """The run key: SHA-256 of the identity."""
        return sha256(self.identity(strength, seed))

    def places(self) -> dict[str, tuple[float, int]]:
        """Maps every run key to its (strength, seed)."""
        return {self.key(strength, seed): (strength, seed) for strength in self.strengths for seed in self.seeds}

    @property
    def sweep_key(self) -> str:
        """The key of all runs that a reader compares."""
        return sha256(self.compared)

    def dataset_key(self, seed: int) -> str:
        """The key of a draw of the dataset; two digests under the same dataset key are an error."""
        return dataset_key(self.dataset, seed)

    def without(self, finished: Collection[str]) -> Iterator[Self]:
        """Groups the unfinished runs into stacks."""
        missing = {seed: tuple(s for s in self.strengths if self.key(s, seed) not in finished) for seed in self.seeds}
        for strengths, seeds in groupby(sorted(self.seeds, key=lambda seed: missing[seed]), missing.__getitem__):
            if strengths:
                yield self.of(strengths, tuple(sorted(seeds)))

    def with_passed(self) -> Sequence[Self]:
        """This stack, and the stacks that come with it."""
        return [self]

    def runs(self) -> Iterator[Self]:
        """Splits into single runs, each a stack of its own."""
        for seed in self.seeds:
            for strength in self.strengths:
                yield self.of((strength,), (seed,))

    def divided(self, parts: int) -> list[Self]:
        """Splits into at least `parts` stacks (fewer if there are fewer runs).

        Seeds are split before strengths, because the strengths of a seed share its batches.
        """
        by_seeds = _chunks(self.seeds, parts)
        by_strengths = _chunks(self.strengths, -(-parts // len(by_seeds)))
        return [self.of(strengths, seeds) for seeds in by_seeds for strengths in by_strengths]

    def __len__(self) -> int:
        return len(self.strengths) * len(self.seeds)


@dataclass(frozen=True)
class MitigationStack(Stack):
    """Runs of a mitigation that differ only in strength and seed.

    Attributes:
        auto: strengths are ratios of the right-reason term to the right-answer term at initialisation, see `Trainer`.
        explainers: explainers measured in addition to the protocol's; part of the run key, if there are any.
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
        return {
            "protocol": PROTOCOL_VERSION,
            "dataset": self.dataset.resolved(),
            "network": self.network.resolved(),
            "mitigation": self.mitigation.resolved(),
            "training": self.training.model_dump(mode="json"),
            "strength": self._strength(strength),
            "seed": seed,
            "explainers": [explainer.resolved() for explainer in self.explainers],
            "versions": {
                "dataset": self.dataset.version,
                "network": self.network.version,
                "mitigation": self.mitigation.version,
                "training": self.training.version,
            },
        }

    def identity(self, strength: float, seed: int) -> dict[str, Any]:
        return {
            "protocol": PROTOCOL_VERSION,
            "dataset": self.dataset.identity(),
            "network": self.network.identity(),
            "mitigation": self.mitigation.identity(),
            "training": self.training.identity(),
            "strength": self._strength(strength),
            "seed": seed,
            **({"explainers": [explainer.identity() for explainer in self.explainers]} if self.explainers else {}),
        }

    @property
    def label(self) -> str:
        """The mitigation, and whether its strengths are automatic: `rrr`, `rrr:auto`."""
        return self.mitigation.id + (":auto" if self.auto else "")

    @property
    def compared(self) -> dict[str, Any]:
        """The same dataset (whatever its masks), network and training."""
        identity = replace(self, dataset=self.dataset.with_masks()).identity(0.0, 0)
        return {name: identity[name] for name in ("protocol", "dataset", "network", "training")}

    @property
    def names(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset.with_masks().id,
            "masks": self.dataset.annotation,
            "network": self.network.id,
            "training": self.training.id,
            "mitigation": self.label,
            "needs": "+".join(sorted(self.mitigation.needs)),
            "degenerate": self.mitigation.degenerate,
        }

    def of(self, strengths: tuple[float, ...], seeds: tuple[int, ...]) -> MitigationStack:
        return replace(self, strengths=strengths, seeds=seeds)

    def _strength(self, strength: float) -> float | str:
        return f"{AUTO}{float(strength)!r}" if self.auto else float(strength)

    def with_passed(self) -> list[MitigationStack]:
        """This stack, and the stacks that its training passes on the way (`Mitigation.passes`)."""
        return [self, *(replace(self, mitigation=mitigation) for mitigation in self.mitigation.passes)]

    @property
    def epochs(self) -> int:
        return len(self) * self.training.epochs * self.mitigation.stages


def _chunks(items: tuple[Any, ...], parts: int) -> list[tuple[Any, ...]]:
    """Splits into `parts` chunks (fewer if there are fewer items), whose sizes differ by at most 1."""
    parts = min(parts, len(items))
    ends = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def dataset_key(dataset: Named, seed: int) -> str:
    """The key of a draw of a dataset."""
    return sha256({"dataset": dataset.identity(), "seed": seed})


def sha256(content: Mapping[str, Any]) -> str:
    """Of a JSON text of the content: 64 hexadecimal digits."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
