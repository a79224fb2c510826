"""A stack: runs that are trained together, and their keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from ...datasets.recipe import Recipe
from ...methods.base import Mitigation
from ...methods.explainers.base import Explainer
from ..networks import NetworkRecipe
from .protocol import PROTOCOL_VERSION
from .training import Training

AUTO = "auto:"


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
        """Everything that decides one run's numbers, defaults included: what a record shows."""
        return {
            "protocol": PROTOCOL_VERSION,
            "dataset": self.dataset.resolved(),
            "network": self.network.resolved(),
            "mitigation": self.mitigation.resolved(),
            "training": self.training.model_dump(mode="json"),
            "strength": self._strength(strength),
            "seed": seed,
            "explainers": [explainer.resolved() for explainer in self.explainers],
        }

    def identity(self, strength: float, seed: int) -> dict[str, Any]:
        """The configuration without what stands at its default: what a run key is made from.

        So a field that is added later, with a default, changes no key. A default that changes needs a new `version` of
        its class, and then the keys change with it.
        """
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

    def key(self, strength: float, seed: int) -> str:
        """The run key: SHA-256 of the identity."""
        return _sha256(self.identity(strength, seed))

    def places(self) -> dict[str, tuple[float, int]]:
        """The (strength, seed) of every run key."""
        return {self.key(strength, seed): (strength, seed) for strength in self.strengths for seed in self.seeds}

    @property
    def sweep_key(self) -> str:
        """Shared by the runs that a reader compares: one dataset, whatever its masks, network and training."""
        identity = replace(self, dataset=self.dataset.with_masks()).identity(0.0, 0)
        return _sha256({name: identity[name] for name in ("protocol", "dataset", "network", "training")})

    def dataset_key(self, seed: int) -> str:
        """One draw of the dataset; two digests under one such key are an error."""
        return _sha256({"dataset": self.dataset.identity(), "seed": seed})

    def _strength(self, strength: float) -> float | str:
        return f"{AUTO}{float(strength)!r}" if self.auto else float(strength)

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


def _chunks(items: tuple[Any, ...], parts: int) -> list[tuple[Any, ...]]:
    """At most so many chunks, whose sizes differ by one at most."""
    parts = min(parts, len(items))
    ends = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def _sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
