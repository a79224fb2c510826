r"""Contextual decomposition explanation penalisation (CDEP: Rieger, Singh, Murdoch, Yu, ICML 2020, section 3).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_k e^b_nk / (e^b_nk + e^g_nk)

Logit k is decomposed into b_nk, what the masked part of the input contributes, and g_nk, what the rest does. With h
what enters a layer, and b its masked part, h = b + g throughout:

    linear, conv  b -> W b + c |W b| / (|W b| + |W g|)   for a bias c
    ReLU          b -> ReLU(b)
    max-pool      b -> b at the place of the greatest h
    flatten       b -> b

A pixel range is part of the input that is split. Inputs without a mask are left out: their term is not 0. The paper
averages over the classes; strengths there are ours times the number of classes.

The term also falls when the masked parts of all logits fall together, which a softmax does not see: part of the
effect needs no right mask (Friedrich et al. 2023 measured 96.7 % with wrong ones). On decoy-digits with the mlp,
accuracy/random is 0.864 at strength 100 and ERM's 0.781: better by 0.083 on average, but not for each of 5 seeds
(results/leaderboard/mitigations-quick.csv).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, annotated, cross_entropy, mitigations
from ..network import BoundLayer, Net, PixelRange

EPSILON = 1e-12


@mitigations.register
class CDEP(Mitigation):
    """Penalises what the masked pixels contribute to the logits."""

    name: ClassVar[str] = "cdep"
    paper: ClassVar[str] = "Rieger et al. 2020"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \sum_k \frac{e^{\beta_{nk}}}{e^{\beta_{nk}} + e^{\gamma_{nk}}}, \\ "
        r"z_{nk} &= \beta_{nk} + \gamma_{nk}, \quad a_n = [A_n \neq 0]"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, masked = contextual_decomposition(net, batch)
        contribution = torch.sigmoid(masked - (logits - masked)).sum(1)
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * (contribution * annotated(batch)).mean(),
        )


def contextual_decomposition(
    net: Net, batch: Batch
) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch classes"]]:
    """The logits, and the part of them that the masked part of the input contributes."""
    whole, masked = batch.inputs, batch.inputs * batch.masks
    for layer in net.layers:
        if isinstance(layer.module, PixelRange):
            whole = layer(whole)
            masked = whole * batch.masks
        else:
            whole, masked = decompose(layer, whole, masked)
    return whole, masked


def decompose(layer: BoundLayer, whole: Tensor, masked: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer makes of its input, and of the input's masked part.

    Raises:
        ValueError: no rule for a layer of this kind.
    """
    if layer.is_affine:
        output, ours = layer(whole), layer.linear(masked)
        bias = layer(torch.zeros_like(whole[:1]))
        share = ours.abs() / (ours.abs() + (output - bias - ours).abs() + EPSILON)
        return output, ours + share * bias
    match layer.module:
        case nn.ReLU():
            return layer(whole), layer(masked)
        case nn.Flatten():
            return layer(whole), layer(masked)
        case nn.MaxPool2d() as pool:
            output, places = F.max_pool2d(
                whole, pool.kernel_size, pool.stride, pool.padding, pool.dilation, pool.ceil_mode, return_indices=True
            )
            return output, masked.flatten(2).gather(2, places.flatten(2)).view_as(output)
        case module:
            raise ValueError(
                f"contextual decomposition has no rule for {type(module).__name__}: use the mlp or lenet, "
                "or add its rule to methods/mitigations/cdep.py"
            )
