r"""Targeted activation penalty (TAP: Zhang, Williams, Toni, AAAI 2024; the released loss).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n mean_l sum_ij ( A^l_nij * sum_c h^l_ncij )^2

h^l are a layer's feature maps, after each ReLU and after each residual stage up to the flattening or global pooling.
A^l is the mask (True for a pixel with any masked channel), dilated by a pixel and averaged over the pixels of the input
that a pixel of the map stands for. The penalty has no second derivative: it forbids activation where the shortcut is,
and not the use of activation. It therefore blinds a network to a core that overlaps the mask, and a network can carry
the shortcut in activations just outside A^l.

The authors' strength is 1e-3, with SGD at a learning rate of 1e-5 from ImageNet's weights.

Deviations. Each A^l is computed from the mask and not from the A of the layer before, whose dilations compound in the
released code; there the mask also goes through a quantile and "greater than", so that a mask of more than the
quantile's share of the image comes out empty. On a ResNet the maps after the stem count as well. Channels are summed
before they are squared, as released: after a ReLU no two of them cancel.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..gradcam import split_at_last_maps, without_maps
from ..network import BoundLayer, Net


@mitigations.register
class TAP(Mitigation):
    """Penalises activations of the feature maps where the mask is."""

    name: ClassVar[str] = "tap"
    paper: ClassVar[str] = "Zhang et al. 2024"
    published_strength: ClassVar[float | None] = 1e-3
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, \underset{l}{\operatorname{mean}} \sum_{ij} \left( A^l_{nij} \sum_c "
        r"h^l_{ncij} \right)^2, \\ "
        r"A^l &= \operatorname{avgpool}_l(\operatorname{maxpool}_{3 \times 3}(A))"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_maps(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        below, above = split_at_last_maps(net)
        hidden, activations = batch.inputs, []
        masks = batch.masks.expand_as(hidden).any(1, keepdim=True)
        for layer in below:
            hidden = layer(hidden)
            if activates(layer):
                activations.append(hidden)
        for layer in above:
            activations, hidden = activations or [hidden], layer(hidden)
        penalties = [(pooled(masks, maps) * maps.sum(1)).square().sum((1, 2)) for maps in activations]
        return Terms(cross_entropy(hidden, batch.labels), strength * torch.stack(penalties).mean())


def activates(layer: BoundLayer) -> bool:
    """Whether a layer's outputs are penalised: a ReLU, or a stage of several layers with a convolution."""
    if isinstance(layer.module, nn.ReLU):
        return True
    parts = list(layer.module.children())
    return bool(parts) and any(isinstance(part, nn.Conv2d) for part in layer.module.modules())


def pooled(
    masks: Bool[Tensor, "batch 1 rows columns"], maps: Float[Tensor, "batch maps high wide"]
) -> Float[Tensor, "batch high wide"]:
    """The share of each pixel of the maps that the mask covers, once it is dilated by a pixel."""
    rows, columns = maps.shape[2:]
    return F.adaptive_avg_pool2d(F.max_pool2d(masks.to(maps), 3, stride=1, padding=1), (rows, columns))[:, 0]
