"""Mitigations that show the network every input a second time, with other content where the shortcut is."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets.base import Batch
from .base import Mitigation, Supervision, Terms, annotated, cross_entropy, weighted_cross_entropy
from .network import Net


class Augmentation(Mitigation):
    r"""What they share; a subclass says what the masked pixels of the second copy x~ show.

        loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -log p_y(x~_n),   a_n = 1 if input n has a mask, else 0
        x~_n = (1 - A_n) * x_n + A_n * filling_n

    The copies' share of the loss is strength / (1 + strength): a half at 1, where the papers have it, and nearly all of
    it at 100, where the network as good as never sees the shortcut. Copies are drawn anew in every step.
    """

    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    @abstractmethod
    def filling(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        """What to show inside the mask, in [0, 1]; values elsewhere are not used."""

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        copies = torch.where(batch.masks, self.filling(batch, generator), batch.inputs)
        return batch._replace(draws={**batch.draws, "copies": copies})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        return Terms(
            right_answer=cross_entropy(net(batch.inputs), batch.labels),
            right_reason=strength * weighted_cross_entropy(net(batch.draws["copies"]), batch.labels, annotated(batch)),
        )


def uniform(batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
    """Independent numbers from U(0, 1), one for each feature."""
    return torch.rand(batch.inputs.shape, generator=generator).to(batch.inputs)


def donors(count: int, generator: torch.Generator) -> Tensor:
    """For each of `count` inputs another one, at random: one cycle through all, so that nobody is its own donor."""
    order = torch.randperm(count, generator=generator)
    return torch.empty_like(order).index_copy_(0, order, order.roll(1))
