r"""Scale-free RRR (the RRR of Reveal2Revise: Pahde et al., MICCAI 2023).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n cos( |g_n|, A_n ),
    g_n,ij = sum_c d/dx_n,cij sum_k log p_k(x_n)

The cosine is in [0, 1] at any size of the gradient, and 0 for an empty mask. Inputs without channels are compared entry
by entry. Reveal2Revise differentiates the cross-entropy, whose gradient has a factor (1 - p_y). The factor cancels in
the cosine, but underflows in floating-point numbers; the target here is therefore RRR's.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..gradients import input_gradient
from ..network import Net
from ..targets import log_prob_sum

EPSILON = 1e-12
"""Smaller than every norm that matters, so that a gradient or a mask of zeros has a cosine of 0."""


@mitigations.register
class CosineRRR(Mitigation):
    """Penalises the share of the input gradient inside the mask, at any size of the gradient."""

    name: ClassVar[str] = "cosine_rrr"
    paper: ClassVar[str] = "Pahde et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \cos(|g_n|, A_n), \\ "
        r"g_{n,ij} &= \sum_c \frac{\partial}{\partial x_{n,cij}} \sum_k \log p_k(x_n)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        gradient, logits = input_gradient(net, batch.inputs, lambda logits: log_prob_sum(logits, batch))
        masks = batch.masks.expand_as(gradient)
        if gradient.dim() == 4:
            gradient, masks = gradient.sum(1), masks.any(1)
        size, masks = gradient.abs().flatten(1), masks.flatten(1).to(gradient)
        norms = (size.square().sum(1) + EPSILON**2).sqrt() * masks.sum(1).clamp(min=1).sqrt()
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * ((size * masks).sum(1) / norms).mean(),
        )
