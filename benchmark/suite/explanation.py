"""Sweeps and stacks of counterfactual explainers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, InstanceOf, PositiveInt

from ...datasets.as_written import AsWritten
from ...datasets.glyphs import GlyphsRecipe
from ...methods.explainers.counterfactual.base import CounterfactualExplainer, counterfactuals
from ..networks import NetworkRecipe, networks
from .protocol import PROTOCOL_VERSION
from .stack import Stack
from .training import Training


@dataclass(frozen=True)
class ExplanationStack(Stack):
    """Runs of a counterfactual explainer that differ only in seed; a run explains a classifier trained with the seed.

    Attributes:
        batch_size: inputs that the explainer gets at once; decides its draws, and so is part of the run key.
        strengths: always (0.0,): an explainer has no strength.
    """

    dataset: GlyphsRecipe
    network: NetworkRecipe
    explainer: CounterfactualExplainer
    training: Training
    seeds: tuple[int, ...]
    batch_size: int = 20
    strengths: tuple[float, ...] = (0.0,)

    def configuration(self, strength: float, seed: int) -> dict[str, Any]:
        return {
            "protocol": PROTOCOL_VERSION,
            "dataset": self.dataset.resolved(),
            "network": self.network.resolved(),
            "explainer": self.explainer.resolved(),
            "training": self.training.model_dump(mode="json"),
            "explained_at_once": self.batch_size,
            "seed": seed,
        }

    def identity(self, strength: float, seed: int) -> dict[str, Any]:
        return {**self.compared, "explainer": self.explainer.identity(), "seed": seed}

    @property
    def compared(self) -> dict[str, Any]:
        """The same letters, network and training, explained in batches of the same size."""
        return {
            "protocol": PROTOCOL_VERSION,
            "dataset": self.dataset.identity(),
            "network": self.network.identity(),
            "training": self.training.identity(),
            "explained_at_once": self.batch_size,
        }

    @property
    def names(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset.id,
            "network": self.network.id,
            "training": self.training.id,
            "mitigation": self.label,
            "needs": "",
            "degenerate": False,
        }

    @property
    def label(self) -> str:
        """The explainer: `dive[method=random]`."""
        return self.explainer.id

    @property
    def epochs(self) -> int:
        """One for each run: explaining takes longer than training the classifier."""
        return len(self)

    def of(self, strengths: tuple[float, ...], seeds: tuple[int, ...]) -> ExplanationStack:
        return replace(self, strengths=strengths, seeds=seeds)


class CounterfactualSweep(AsWritten):
    """Counterfactual explainers that are compared: on the same inputs of the same classifiers.

    Attributes:
        dataset: parameters of the letters, see `GlyphsRecipe`.
        batch_size: inputs that an explainer gets at once.
    """

    dataset: GlyphsRecipe = GlyphsRecipe()
    network: Annotated[InstanceOf[NetworkRecipe], BeforeValidator(networks.resolve)]
    training: Training = Training()
    batch_size: PositiveInt = 20
    explainers: Annotated[
        tuple[Annotated[InstanceOf[CounterfactualExplainer], BeforeValidator(counterfactuals.resolve)], ...],
        Field(min_length=1),
    ]

    def stacks(self, seeds: Sequence[int]) -> Iterator[ExplanationStack]:
        """Lists a stack for each explainer."""
        for explainer in self.explainers:
            chosen = tuple(sorted(set(seeds)))
            yield ExplanationStack(self.dataset, self.network, explainer, self.training, chosen, self.batch_size)
