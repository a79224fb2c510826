"""Mitigations that train on a copy of every annotated input too, with new content in its mask."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..datasets.base import Batch
from .base import Mitigation, Supervision, Terms, annotated, cross_entropy, weighted_cross_entropy
from .choosing import moved
from .network import Net


class Augmentation(Mitigation):
    r"""Trains on a copy x~ of each annotated input too; a subclass gives the content of the copy's mask, `filling`.

        loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -log p_y(x~_n),   a_n = 1 if input n has a mask, else 0
        x~_n = (1 - A_n) * x_n + A_n * filling_n

    The copies' share of the loss is strength / (1 + strength): a half at strength 1, the papers' choice, and nearly the
    whole loss at strength 100, where the network as good as never sees the shortcut. Copies are drawn anew in every
    step.
    """

    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    @abstractmethod
    def filling(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        """The content of the copies' masks, in [0, 1]; values outside the masks are not used."""

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        copies = torch.where(batch.masks, self.filling(batch, generator), batch.inputs)
        return batch._replace(draws={**batch.draws, "copies": copies})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        return Terms(
            right_answer=cross_entropy(net(batch.inputs), batch.labels),
            right_reason=strength * weighted_cross_entropy(net(batch.draws["copies"]), batch.labels, annotated(batch)),
        )


def uniform(batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
    """An independent number from U(0, 1) for each feature."""
    return moved(torch.rand(batch.inputs.shape, generator=generator), batch.inputs.device, batch.inputs.dtype)


def donors(count: int, generator: torch.Generator) -> Int[Tensor, "count"]:
    """Draws a donor for each of `count` inputs: a random cycle through all inputs, so that no input is its own donor.

    A single input is its own donor.
    """
    order = torch.randperm(count, generator=generator)
    return torch.empty_like(order).index_copy_(0, order, order.roll(1))


def donors_among(chosen: Bool[Tensor, "n"], generator: torch.Generator) -> Int[Tensor, "n"]:
    """Draws a donor for each chosen input: `donors` among them. An input that is not chosen is its own donor."""
    rows = chosen.nonzero()[:, 0]
    return torch.arange(len(chosen)).index_copy_(0, rows, rows[donors(len(rows), generator)])
