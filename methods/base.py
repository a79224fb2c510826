"""The contract of a mitigation: a pure function of a network and a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.base import Batch, ShortcutDataset
from ..datasets.registry import Named, Registry
from ..datasets.sources import OUTLINED
from .fitting import Fitted, Terms, Trainer
from .network import Net

Supervision = Literal["masks", "core", "groups", "twins"]
"""What a mitigation may be told of training inputs beside their labels.

`masks` say where the shortcut is, `core` where the object is, `groups` which shortcut value it has (with the label, an
input's group), and `twins` are the same inputs without the shortcut.
"""


class Mitigation(Named):
    r"""A way of training a network that should not use the shortcut. One file, one class, `@mitigations.register`.

    Attributes:
        paper: who proposed the method, e.g. "Ross et al. 2017"; the module's docstring has the section.
        published_strength: the strength of the paper or of its released code, in rrrbench's unit. None where nobody
            has published a strength for the loss with these parameters.
        equation: the loss in LaTeX, as the module's docstring has it: rows end in `\\` and are aligned at `&`.
        needs: the supervision that the method uses beside labels.
        needs_minority: True for a method that learns from inputs whose shortcut speaks against their label.
        has_strength: False for a method without a strength, which has one run a seed, at strength 0.
        degenerate: True for a variant that is known to constrain nothing, kept as a control.
        carries: names of the entries of `batch.draws` that `fit` computes once, for every training input.
    """

    paper: ClassVar[str] = ""
    published_strength: ClassVar[float | None] = None
    equation: ClassVar[str] = ""
    needs: ClassVar[frozenset[Supervision]] = frozenset()
    needs_minority: ClassVar[bool] = False
    has_strength: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if isinstance(cls.needs, property):  # it depends on a parameter
            return
        known = get_args(Supervision)
        if not isinstance(cls.needs, frozenset) or not cls.needs <= set(known):
            raise TypeError(
                f"{cls.__name__}.needs = {cls.needs!r}: expected a frozenset of {', '.join(known)}, e.g. "
                'frozenset({"masks"})'
            )

    @property
    def degenerate(self) -> bool:
        return False

    @property
    def stages(self) -> int:
        """Trainings in `fit`, for the progress bar, which takes them for equally long."""
        return 1

    @property
    def passes(self) -> Sequence[Mitigation]:
        """Mitigations whose trained networks are stages of this `fit`, which returns them as `Fitted.passed`.

        A suite that has runs of both takes the stages' networks and does not train them anew.
        """
        return ()

    @property
    def augments(self) -> bool:
        """Whether `augment` draws anything."""
        return type(self).augment is not Mitigation.augment

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        """Why the method cannot work with this dataset or this network; empty if it can.

        A run with an obstacle is recorded as `inapplicable`, with the obstacle as its reason, and never trained. A
        method that overrides this adds to `super().obstacle(dataset, module)`.
        """
        if "core" in self.needs and dataset.train.core is None:
            return (
                f"{dataset.id} has no core masks: nobody says where the object is; of the bases "
                f"{', '.join(sorted(OUTLINED))} have core masks"
            )
        if self.needs_minority and not bool((dataset.train.shortcuts >= 0).any()):
            return (
                f"{dataset.id}: nobody says which shortcut value an input has, so there are no groups: of photos, name "
                "a column of shortcut values (docs/data.md)"
            )
        if self.needs_minority and not bool(dataset.minority.any()):
            return f"{dataset.id}: every training input's shortcut says its label, so there is no minority group"
        return ""

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        """The method's own parameters, e.g. an adversary's, by names that the network has not.

        The optimiser trains them with the network's parameters; after training they are dropped. `terms` finds them in
        `net.parameters`.
        """
        return {}

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        """The loss of one run on one batch; draws nothing, so that a stack can be vmapped."""
        raise NotImplementedError

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        """The batch with the draws that `terms` needs; once per seed and step, shared by all strengths."""
        return batch

    def fit(self, trainer: Trainer) -> Fitted:
        """Trains a stack; a method with several stages overrides this and composes `trainer.train`."""
        return trainer.train(self)


def cross_entropy(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Mean over the batch of -log p_y."""
    return F.cross_entropy(logits, labels)


def true_class(labels: Int[Tensor, "batch"], classes: int) -> Bool[Tensor, "batch classes"]:
    """One-hot labels, traceable: `F.one_hot` looks at the labels' values, which a trace does not have."""
    return labels[:, None] == torch.arange(classes, device=labels.device)


def weighted_cross_entropy(
    logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"], weights: Shaped[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """sum_n w_n * -log p_y / B: the divisor is the number of inputs, not the sum of the weights."""
    return (weights.to(logits) * F.cross_entropy(logits, labels, reduction="none")).mean()


def annotated(batch: Batch) -> Float[Tensor, "batch"]:
    """1 for an input with a mask, 0 for an input whose mask is empty: a factor for terms that do not vanish there."""
    return batch.masks.flatten(1).any(1).to(batch.inputs)


mitigations: Registry[Mitigation] = Registry("mitigation", "rrrbench.methods.mitigations")
