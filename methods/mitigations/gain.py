r"""Guided attention inference with extra supervision (GAIN_ext: Li, Wu, Peng, Ernst, Fu, CVPR 2018).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n ( mean_ij (L_nij - M_nij)^2 + mining * p_y(x_n - T_n * x_n) )
    T_n  = sigmoid( 10 (L_n - 1/2) )

L is the Grad-CAM of the true class's logit, in [0, 1], at the inputs' resolution (`..gradcam`), with constant weights
of its maps. M is 1 where the input may matter: the object with `told = "outside core"`, as in the paper, or all but the
shortcut. a_n = 1 if something is forbidden in input n, else 0. The first term is that of `hint` with another reduction.
The second, attention mining, asks that nothing outside the map speaks for the label: where a network uses a shortcut,
it pulls the map onto the shortcut. So `mining` without the first term is a negative control.

The paper has the weights 1 for mining and 10 for the supervision: strength 10 with `mining` = 0.1.

Deviations. L is scaled to [0, 1] by each image's extremes, so that the threshold 1/2 means the same for every image; in
two re-implementations, which are our source, L is unscaled, or scaled by the extremes of the batch. There is no ReLU
before the scaling, so that no map is all zeros. Both losses act from the first epoch on, and not after ten of them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Terms, annotated, cross_entropy, mitigations
from ..gradcam import gradcam, without_maps
from ..network import Net
from ..told import ToldWhere

STEEPNESS, THRESHOLD = 10.0, 0.5


@mitigations.register
class GAIN(ToldWhere):
    """Asks that Grad-CAM covers what may matter, and that nothing outside the map speaks for the label.

    Attributes:
        mining: weight of attention mining, where the supervision's weight is 1.
    """

    name: ClassVar[str] = "gain"
    paper: ClassVar[str] = "Li et al. 2018"
    published_strength: ClassVar[float | None] = 10.0
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, a_n \left( \underset{ij}{\operatorname{mean}} (L_{nij} - M_{nij})^2 + "
        r"\text{mining} \cdot p_{y_n}(x_n - T_n \odot x_n) \right), \\ "
        r"T_n &= \operatorname{sigmoid}\left( 10\, (L_n - \tfrac{1}{2}) \right)"
    )

    mining: Annotated[float, Field(ge=0)] = 0.1

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_maps(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        def true_logit(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch"]:
            return logits.gather(-1, batch.labels[:, None])[:, 0]

        told = self.forbidding(batch)
        cam, logits = gradcam(net, batch.inputs, true_logit, constant_weights=True)
        allowed = ~told.masks.expand_as(batch.inputs).any(1)
        distance = (cam - allowed.to(cam)).square().mean((1, 2))
        marked = torch.sigmoid(STEEPNESS * (cam - THRESHOLD))[:, None]
        unmarked = net(batch.inputs - marked * batch.inputs).softmax(-1)
        left = unmarked.gather(-1, batch.labels[:, None])[:, 0]
        errors = annotated(told) * (distance + self.mining * left)
        return Terms(cross_entropy(logits, batch.labels), strength * errors.mean())
