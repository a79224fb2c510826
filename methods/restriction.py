"""A network as a function of the masked pixels alone: what perturbations inside a mask have to evaluate."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.base import Batch
from .network import BoundLayer, Net, PixelRange


class Restricted(Net):
    """`net`, all positions but some held as a batch has them.

    Args:
        first: takes the free positions; what the held ones contribute is in its bias, of shape (batch, outputs).
        rest: the layers after it.
    """

    def __init__(self, net: Net, first: BoundLayer, rest: list[BoundLayer]) -> None:
        super().__init__(net.module, net.parameters)
        self.first, self.rest = first, rest

    @property
    def layers(self) -> Iterator[BoundLayer]:
        yield self.first
        yield from self.rest

    def detached(self) -> Restricted:
        first, *rest = (
            BoundLayer(layer.module, {name: value.detach() for name, value in layer.parameters.items()})
            for layer in self.layers
        )
        return Restricted(super().detached(), first, rest)


def restricted(net: Net, batch: Batch) -> tuple[Float[Tensor, "batch classes"], Net, Batch]:
    """The logits of the batch, the network at its touched positions alone, and the batch, draws included, there.

    The large product of a dense first layer is made once, for the logits; each further evaluation at 64 of 784 inputs
    costs a twelfth of it. Networks that begin otherwise, and batches touched anywhere, come back as they are.
    """
    layers = list(net.layers)
    before = list(takewhile(lambda layer: isinstance(layer.module, PixelRange | nn.Flatten), layers))
    first, *rest = layers[len(before) :]
    if batch.touched is None or not isinstance(first.module, nn.Linear):
        return net(batch.inputs), net, batch
    hidden, features = batch.inputs, batch.inputs.shape[1:]
    scale = torch.ones((), dtype=hidden.dtype, device=hidden.device)
    for layer in before:
        if isinstance(layer.module, PixelRange):
            scale = scale * layer.module.scale.to(hidden)
        hidden = layer(hidden)

    def at(values: Tensor) -> Tensor:
        shaped = values.dim() > len(features) and values.shape[-len(features) :] == features
        return values.flatten(-len(features))[..., batch.touched] if shaped else values

    there = Batch(
        at(batch.inputs),
        batch.labels,
        at(batch.masks.expand_as(batch.inputs)),
        batch.shortcuts,
        {name: at(drawn) for name, drawn in batch.draws.items()},
    )
    weight = first.parameters["weight"][:, batch.touched] * scale.expand(features).flatten()[batch.touched]
    hidden = first(hidden)
    held = hidden - F.linear(there.inputs, weight)
    for layer in rest:
        hidden = layer(hidden)
    return hidden, Restricted(net, BoundLayer(first.module, {"weight": weight, "bias": held}), rest), there
