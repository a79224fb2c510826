"""The contract between mitigations and what trains them: an objective, a trainer, a trained stack.

The engine (`benchmark/engine`) implements `Trainer`; a mitigation's `fit` sees no more of the engine than this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from ..datasets.base import Batch, ShortcutDataset, Split
from .network import Net, Parameters

CURVES = ("right_answer", "right_reason", "accuracy/validation")
"""What is measured in every epoch of every run."""


class Terms(NamedTuple):
    """The two terms of a loss: means over the batch, `right_reason` with its strength multiplied in."""

    right_answer: Float[Tensor, ""]
    right_reason: Float[Tensor, ""]


class Objective(Protocol):
    """What a training minimises: the sum of both terms. Every `Mitigation` is an objective.

    Attributes:
        needs: the supervision that it uses; in training, `batch.core` is None without `core`.
    """

    needs: ClassVar[frozenset[Any]]

    @property
    def id(self) -> str:
        """The objective's name, for errors and timings."""
        ...

    @property
    def augments(self) -> bool:
        """Whether `augment` draws anything."""
        ...

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        """Parameters to train beside the network's, by names that the network has not."""
        ...

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        """Both terms of one run on one batch."""
        ...

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        """The batch with the draws that `terms` needs."""
        ...


@dataclass(frozen=True)
class Fitted:
    """A trained stack.

    Attributes:
        parameters: the trained networks' parameters, by name; without a mitigation's own.
        curves: a number for each epoch: `right_answer` and `right_reason` (means over the epoch's inputs while the
            network changed) and `accuracy/validation`. NaN once every run of a part has
            diverged.
        liveness: norm of the right-reason term's parameter gradient over the right-answer term's, on the first batch
            of inputs with masks, at the `start`, the `middle` and the `end` of training.
        seconds: wall seconds of this training; runs trained together have equal shares.
        metrics: numbers that the mitigation's `fit` measured, for the record.
        passed: the stacks trained on the way, in the order of the mitigation's `passes`.
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
        finite = [torch.isfinite(tensor)[..., None].flatten(2).all(2) for tensor in (*self.parameters.values(), *last)]
        return ~torch.stack(finite).all(0)


class Trainer(Protocol):
    """One stack, ready to be trained: what a mitigation's `fit` composes."""

    @property
    def draws(self) -> Sequence[ShortcutDataset]:
        """The dataset, drawn with each of the seeds, without its test environments."""
        ...

    @property
    def labels(self) -> Int[Tensor, "seeds n"]:
        """Labels of the training inputs."""
        ...

    @property
    def shortcuts(self) -> Int[Tensor, "seeds n"]:
        """Shortcut values of the training inputs."""
        ...

    @property
    def strengths(self) -> Float[Tensor, "seeds strengths"]:
        """The strength of each run."""
        ...

    @property
    def epochs(self) -> int:
        """Epochs of a training."""
        ...

    @property
    def device(self) -> torch.device:
        """Where parameters and training inputs lie."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type of parameters and of inputs."""
        ...

    def train(
        self,
        mitigation: Objective,
        *,
        masks: Bool[Tensor, "seeds #strengths n *#features"] | None = None,
        strengths: Float[Tensor, "seeds strengths"] | None = None,
        given: Mapping[str, Shaped[Tensor, "seeds n *values"]] | None = None,
        start: Parameters | None = None,
    ) -> Fitted:
        """Trains the stack from its seeds' initialisations on the mitigation's terms.

        Args:
            masks: in place of the dataset's; the same for all strengths of a seed, or different for each.
            strengths: in place of the stack's.
            given: entries of `batch.draws` by name, with a value for each training input.
            start: parameters (seeds, strengths, *shape) to go on from, in place of the initialisation; the optimiser
                begins anew.

        Raises:
            ValueError: different masks for each strength, for a mitigation that augments: `augment` draws once for all
                strengths of a seed.
        """
        ...

    def altered(
        self, *, splits: Sequence[Split] | None = None, epochs: int | None = None, only: str | None = None
    ) -> Self:
        """A copy of this trainer that trains on other splits, for another number of epochs, or fewer parameters.

        Args:
            splits: training splits, one for each seed.
            only: the prefix of the names of the parameters that are trained, such as `head.`; no optimiser step and no
                weight decay changes the other parameters.
        """
        ...

    def per_input(
        self, fitted: Fitted, function: Callable[[Net, Batch], Shaped[Tensor, "batch *result"]]
    ) -> Shaped[Tensor, "seeds #strengths n *result"]:
        """`function` of every network and every training input."""
        ...

    def per_input_of_run(
        self, fitted: Fitted, row: int, column: int, function: Callable[[Net, Batch], Shaped[Tensor, "batch *result"]]
    ) -> Shaped[Tensor, "n *result"]:
        """`function` of every training input, for the network of one seed (`row`) and one strength (`column`)."""
        ...
