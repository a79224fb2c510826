r"""Background relevance minimisation (ISNet: Bassi, Dertkigil, Cavalli, Nature Communications 2024), by input times
gradient.

    loss = mean_n -log p_y(x_n)  +  strength * mean_n mean_c a_n log( 1 + b_nc / bound )

    R_n  = x_n * d/dx_n log( p_k / (1 - p_k) ),   k the least probable class of input n
    H_nc = |R_nc| / mean over the allowed pixels of |R_nc|
    b_nc = sum_i decay^i (A H)_(i) / sum_i decay^i,   (A H)_(i) the i-th largest of A H_nc

A is True where an input must not matter: the shortcut, or with `told = "outside core"`, as in the paper, everything
outside the object; all other pixels are allowed. a_n = 0 if A_n is empty or leaves no pixel allowed, else 1. The
pooling by rank is between the maximum (decay near 0) and the mean (decay 1): at 0.9 it weighs the 20 to 40 largest
pixels, whatever the image's size. The term is log(1 + b / bound) = -log(1 - b / (b + bound)), the paper's.

Deviations. The paper's relevance is that of layer-wise relevance propagation, and this file has its variant by input
times gradient, which is 0 at black pixels; for every class there, for the least probable class ("selective") here. The
paper adds a loss that bounds the allowed pixels' relevance from below and above; without it, H can also be lowered by
more relevance of the object. It mixes (1 - P) CE + P times both, so that its P = 0.7 is strength 0.7 / 0.3 = 2.3.
Defaults differ among the released files: decay 0.9 or 0.996, bound 1 or 10.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Terms, annotated, cross_entropy, mitigations
from ..gradients import input_gradient
from ..network import Net
from ..told import ToldWhere

EPSILON = 1e-8


@mitigations.register
class ISNet(ToldWhere):
    """Bounds the share of relevance where an input must not matter."""

    name: ClassVar[str] = "isnet"
    paper: ClassVar[str] = "Bassi et al. 2024"
    published_strength: ClassVar[float | None] = 0.7 / 0.3
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, \underset{c}{\operatorname{mean}}\, a_n \log \left( 1 + "
        r"\frac{b_{nc}}{\text{bound}} \right), \\ "
        r"b_{nc} &= \frac{\sum_i \text{decay}^i (A_n \odot H_{nc})_{(i)}}{\sum_i \text{decay}^i}, \quad "
        r"H_{nc} = \frac{|R_{nc}|}{\operatorname{mean}_{1 - A_n} |R_{nc}|}, \\ "
        r"R_n &= x_n \odot \frac{\partial}{\partial x_n} \log \frac{p_k(x_n)}{1 - p_k(x_n)}, \quad k = "
        r"\operatorname{argmin}_j p_j(x_n)"
    )

    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    bound: Annotated[float, Field(gt=0)] = 1.0

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        told = self.forbidding(batch)
        gradient, logits = input_gradient(net, batch.inputs, least_probable_log_odds)
        relevance, forbidden = (gradient * batch.inputs).abs(), told.masks.expand_as(batch.inputs)
        if relevance.dim() == 2:
            relevance, forbidden = relevance[:, None], forbidden[:, None]
        shares = background(relevance.flatten(2), forbidden.flatten(2), self.decay)
        errors = (shares / self.bound).log1p().mean(1)
        a = annotated(told) * (~forbidden).flatten(1).any(1)
        return Terms(cross_entropy(logits, batch.labels), strength * (a * errors).mean())


def least_probable_log_odds(logits: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch"]:
    """log(p / (1 - p)) of the least probable class: z_min - logsumexp of the remaining logits."""
    rest, least = logits.sort(-1, descending=True).values.split((logits.shape[-1] - 1, 1), -1)
    return least[..., 0] - rest.logsumexp(-1)


def background(
    relevance: Float[Tensor, "batch channels pixels"], forbidden: Bool[Tensor, "batch channels pixels"], decay: float
) -> Float[Tensor, "batch channels"]:
    """b: the forbidden pixels' relevance, pooled by rank, in units of the mean of the allowed pixels' relevance."""
    allowed = (~forbidden).to(relevance)
    mean = (relevance * allowed).sum(2, keepdim=True) / allowed.sum(2, keepdim=True).clamp(min=1)
    ranked = (forbidden * relevance / (mean + EPSILON)).sort(2, descending=True).values
    weights = decay ** torch.arange(relevance.shape[2], device=relevance.device, dtype=relevance.dtype)
    return (ranked * weights).sum(2) / weights.sum()
