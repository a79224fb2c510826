"""The contract of a mitigation: a pure function of a network and a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.base import Batch, ShortcutDataset
from ..datasets.registry import Named, Registry
from .network import Net

if TYPE_CHECKING:
    from ..benchmark.engine.trainer import Fitted, Trainer

Supervision = Literal["masks", "groups", "twins"]
"""Where the shortcut is, what it says (with the label, an input's group), the same input without it."""


class Terms(NamedTuple):
    """The two terms of a loss: means over the batch, `right_reason` with its strength multiplied in."""

    right_answer: Float[Tensor, ""]
    right_reason: Float[Tensor, ""]


class Mitigation(Named):
    r"""A way of training a network that should not use the shortcut. One file, one class, `@mitigations.register`.

    Attributes:
        paper: who proposed it, e.g. "Ross et al. 2017"; the module's docstring has the section.
        equation: the loss in LaTeX, as the module's docstring has it: rows end in `\\` and are aligned at `&`.
        needs: the supervision it uses beyond labels.
        needs_convolutions: True for one that looks at a convolution's feature maps: a dense network has none.
        needs_minority: True for one that learns from inputs whose shortcut speaks against their label.
        has_strength: False for one without the axis: it has one row, at strength 0.
        degenerate: True for a variant that is known to constrain nothing, kept as a control.
        carries: names of what `fit` computes once for every training input and `terms` finds in `batch.draws`.
    """

    paper: ClassVar[str] = ""
    equation: ClassVar[str] = ""
    needs: ClassVar[frozenset[Supervision]] = frozenset()
    needs_convolutions: ClassVar[bool] = False
    needs_minority: ClassVar[bool] = False
    has_strength: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = frozenset()

    @property
    def degenerate(self) -> bool:
        return False

    @property
    def stages(self) -> int:
        """How many stages `fit` has: what a progress bar expects, each as long as the first."""
        return 1

    @property
    def passes(self) -> Sequence[Mitigation]:
        """Those whose trained networks are stages of this one's `fit`, which gives them as `Fitted.passed`.

        Where a suite wants their runs too, they come with this one's and are not trained anew.
        """
        return ()

    def obstacle(self, dataset: ShortcutDataset) -> str:
        """Why it has nothing to work with on this dataset, for its row to say; empty if it has."""
        if self.needs_minority and not bool(dataset.minority.any()):
            return f"{dataset.id}: every training input's shortcut says its label, so there is no minority group"
        return ""

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        """Parameters of its own, e.g. an adversary's, by names that the network has not.

        They are trained with the network's by the same optimiser and dropped afterwards; `terms` finds them in
        `net.parameters`.
        """
        return {}

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        """The loss of one run on one batch; draws nothing, so that it can be vmapped over a stack."""
        raise NotImplementedError

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        """The batch with what `terms` needs drawn; once per seed and step, shared by all strengths."""
        return batch

    def fit(self, trainer: Trainer) -> Fitted:
        """Trains a stack; those with stages override this and compose `trainer.train`."""
        return trainer.train(self)


def cross_entropy(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Mean over the batch of -log p_y."""
    return F.cross_entropy(logits, labels)


def true_class(labels: Int[Tensor, "batch"], classes: int) -> Bool[Tensor, "batch classes"]:
    """One-hot labels; `F.one_hot` looks at their values, which cannot be traced."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


def weighted_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"], weights: Shaped[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """sum_n w_n * -log p_y / B: divided by the number of inputs, not by the sum of their weights."""
    return (weights.to(logits) * F.cross_entropy(logits, labels, reduction="none")).mean()


def annotated(batch: Batch) -> Float[Tensor, "batch"]:
    """1 for an input that has a mask, 0 for one whose mask is empty: for terms that would not vanish there."""
    return batch.masks.flatten(1).any(1).to(batch.inputs)


mitigations: Registry[Mitigation] = Registry("mitigation", "rrrbench.methods.mitigations")
