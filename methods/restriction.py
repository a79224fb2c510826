"""A network as a function of the touched positions alone, for cheap evaluation of perturbations inside a mask."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..datasets.base import Batch
from .network import DENSE, BoundLayer, Net, PixelRange, is_exactly
from .nudge import is_whole


class Restricted(Net):
    """`net` as a function of the touched positions, with all other positions held at a batch's values.

    Args:
        first: first layer, on the touched positions; its bias, of shape (batch, outputs), has the contribution of the
            held positions.
        rest: the layers after `first`.
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
    """The logits of the batch, the network on the touched positions, and the batch on the touched positions.

    The draws of the batch are restricted too. The large product of a dense first layer is computed once, for the
    logits; each further evaluation on 64 of 784 positions costs a twelfth of that product. The network and the batch
    are returned unchanged if the first layer is not dense or if the batch has no touched positions (`touched` None).
    """
    layers = list(net.layers)
    before = list(takewhile(lambda layer: is_exactly(layer.module, PixelRange) or is_whole(layer.module), layers))
    first, *rest = layers[len(before) :]
    flat = batch.inputs.dim() == 2 or any(is_whole(layer.module) for layer in before)
    if batch.touched is None or not flat or not is_exactly(first.module, *DENSE):
        return net(batch.inputs), net, batch
    hidden, features = batch.inputs, batch.inputs.shape[1:]
    scale = torch.ones((), dtype=hidden.dtype, device=hidden.device)
    for layer in before:
        if isinstance(layer.module, PixelRange):
            scale = scale * layer.module.scale.to(hidden)
        hidden = layer(hidden)

    def touched(values: Tensor) -> Tensor:
        shaped = values.dim() > len(features) and values.shape[-len(features) :] == features
        return values.flatten(-len(features))[..., batch.touched] if shaped else values

    touched_batch = Batch(
        touched(batch.inputs),
        batch.labels,
        touched(batch.masks.expand_as(batch.inputs)),
        batch.shortcuts,
        {name: touched(drawn) for name, drawn in batch.draws.items()},
        core=None if batch.core is None else touched(batch.core.expand_as(batch.inputs)),
    )
    weight = first.parameters["weight"][:, batch.touched] * scale.expand(features).flatten()[batch.touched]
    hidden = first(hidden)
    held = hidden - F.linear(touched_batch.inputs, weight)
    for layer in rest:
        hidden = layer(hidden)
    return hidden, Restricted(net, BoundLayer(first.module, {"weight": weight, "bias": held}), rest), touched_batch
