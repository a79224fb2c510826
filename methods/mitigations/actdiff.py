r"""ActDiff (Viviano, Simpson, Dutil, Bengio, Cohen: "Saliency is a possible red herring when diagnosing poor
generalization", ICLR 2021).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n || h(x~_n) - h(x_n) ||_2

h are the features (the last layer's input), a_n = 1 where something is forbidden in input n, else 0. x~_n is x_n with
new content in its forbidden part, drawn anew in every step:

- `told = "shortcut"`: the content of another input's mask of the same size (`..regions.exchange_regions`). A patch of a
  constant colour that is permuted within itself is the same patch, and the term would be 0 for ever. An input whose
  mask has no partner of its size in the batch stays as it is, and its term is a constant: with masks of many sizes,
  such as backgrounds, about half of the inputs.
- `told = "outside core"`: the pixels outside the object, permuted within the image, all channels alike: the paper's.

The gradient goes through both passes. The norm is not squared, and has 1e-6 added inside its root, as released.
Features that shrink to 0 meet the term too: on decoy digits with the mlp, a network at strength 10 predicts at chance.

Deviations from released code: its strength is never multiplied in, so that all of its results are at strength 1; its
penalties GradMask and RRR are sums over the batch where ActDiff is a mean. The authors chose models on validation
images whose shortcut is reversed; rrrbench does not.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...datasets.base import Batch
from ..augmentation import donors
from ..base import Terms, annotated, cross_entropy, mitigations
from ..choosing import moved
from ..network import Net
from ..regions import exchange_regions
from ..told import ToldWhere

EPSILON = 1e-6


@mitigations.register
class ActDiff(ToldWhere):
    """Asks that new content in the forbidden part of an input does not move its features."""

    name: ClassVar[str] = "actdiff"
    paper: ClassVar[str] = "Viviano et al. 2021"
    published_strength: ClassVar[float | None] = 1.0
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, a_n \left\| h(\tilde{x}_n) - h(x_n) \right\|_2, \\ "
        r"\tilde{x}_n &= (1 - A_n) \odot x_n + A_n \odot u_n, \quad a_n = [A_n \neq 0]"
    )

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        return batch._replace(draws={**batch.draws, "changed": self.changed(batch, generator)})

    def changed(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        """The inputs with new content in their forbidden parts."""
        if self.told == "shortcut":
            return exchange_regions(batch.inputs, batch.masks, partial(donors, generator=generator), batch.areas)
        return permuted(batch.inputs, self.forbidding(batch).masks, generator)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        hidden, changed = net.features(batch.inputs), net.features(batch.draws["changed"])
        distance = ((changed - hidden).square().sum(1) + EPSILON).sqrt()
        return Terms(
            right_answer=cross_entropy(net.head(hidden), batch.labels),
            right_reason=strength * (annotated(self.forbidding(batch)) * distance).mean(),
        )


def permuted(
    inputs: Float[Tensor, "batch *features"], chosen: Bool[Tensor, "batch *#features"], generator: torch.Generator
) -> Float[Tensor, "batch *features"]:
    """The inputs with the chosen pixels of each permuted among themselves; all channels of an image alike."""
    whole = chosen.expand_as(inputs)
    pixels = whole.any(1) if inputs.dim() > 2 else whole
    flat, pixels = inputs.flatten(2) if inputs.dim() > 2 else inputs[:, None], pixels.flatten(1)
    keys = moved(torch.rand(pixels.shape, generator=generator), inputs.device)
    places = (~pixels).to(torch.uint8).argsort(dim=1, stable=True)  # the chosen pixels first, in order
    sources = torch.where(pixels, keys, 2.0).argsort(dim=1, stable=True)  # the chosen pixels first, at random
    shape = flat.shape
    content = flat.gather(2, sources[:, None].expand(shape))
    return torch.empty_like(flat).scatter(2, places[:, None].expand(shape), content).view_as(inputs)
