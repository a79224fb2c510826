"""Stacks: runs that are trained together, and the keys of runs, sweeps and datasets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

from ...datasets.base import Recipe
from ...methods.base import Mitigation
from ...methods.explainers.base import Explainer
from ..networks import NetworkRecipe
from .protocol import PROTOCOL_VERSION
from .training import Training

AUTO = "auto:"


@dataclass(frozen=True)
class Stack:
    """Runs that differ only in strength and seed: every strength of `strengths` with every seed of `seeds`.

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
        """Everything that decides a run's numbers, defaults included; records show it."""
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
        """The configuration without fields at their defaults; the run key is its hash.

        A field that is added later, with a default, therefore changes no key. A class whose default changes needs a new
        `version`, which changes the keys.
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
        """Maps every run key to its (strength, seed)."""
        return {self.key(strength, seed): (strength, seed) for strength in self.strengths for seed in self.seeds}

    @property
    def sweep_key(self) -> str:
        """The key of all runs that a reader compares: the same dataset (whatever its masks), network and training."""
        identity = replace(self, dataset=self.dataset.with_masks()).identity(0.0, 0)
        return _sha256({name: identity[name] for name in ("protocol", "dataset", "network", "training")})

    def dataset_key(self, seed: int) -> str:
        """The key of a draw of the dataset; two digests under the same dataset key are an error."""
        return _sha256({"dataset": self.dataset.identity(), "seed": seed})

    def _strength(self, strength: float) -> float | str:
        return f"{AUTO}{float(strength)!r}" if self.auto else float(strength)

    def without(self, finished: Collection[str]) -> Iterator[Stack]:
        """Groups the unfinished runs into stacks."""
        missing = {seed: tuple(s for s in self.strengths if self.key(s, seed) not in finished) for seed in self.seeds}
        for strengths, seeds in groupby(sorted(self.seeds, key=lambda seed: missing[seed]), missing.__getitem__):
            if strengths:
                yield replace(self, strengths=strengths, seeds=tuple(sorted(seeds)))

    def with_passed(self) -> list[Stack]:
        """This stack, and the stacks that its training passes on the way (`Mitigation.passes`)."""
        return [self, *(replace(self, mitigation=mitigation) for mitigation in self.mitigation.passes)]

    def runs(self) -> Iterator[Stack]:
        """Splits into single runs, each a stack of its own."""
        for seed in self.seeds:
            for strength in self.strengths:
                yield replace(self, strengths=(strength,), seeds=(seed,))

    @property
    def epochs(self) -> int:
        """Number of epochs of all runs and stages together, for progress bars."""
        return len(self) * self.training.epochs * self.mitigation.stages

    def divided(self, parts: int) -> list[Stack]:
        """Splits into at least `parts` stacks (fewer if there are fewer runs).

        Seeds are split before strengths, because the strengths of a seed share its batches.
        """
        by_seeds = _chunks(self.seeds, parts)
        by_strengths = _chunks(self.strengths, -(-parts // len(by_seeds)))
        return [replace(self, seeds=seeds, strengths=strengths) for seeds in by_seeds for strengths in by_strengths]

    def __len__(self) -> int:
        return len(self.strengths) * len(self.seeds)


def _chunks(items: tuple[Any, ...], parts: int) -> list[tuple[Any, ...]]:
    """Splits into `parts` chunks (fewer if there are fewer items), whose sizes differ by at most 1."""
    parts = min(parts, len(items))
    ends = [round(i * len(items) / parts) for i in range(parts + 1)]
    return [items[start:end] for start, end in pairwise(ends)]


def _sha256(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
