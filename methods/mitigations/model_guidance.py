r"""Model guidance by localisation losses (Rao, Boehle, Parchami-Araghi, Schiele: ICCV 2023).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n e_n,   a_n = 1 if A_n is not empty, else 0

    energy  e_n = sum_ij A a+ / sum_ij a+
    l1      e_n = mean_ij | a+ / max a+  -  (1 - A) |
    ppce    e_n = mean over ij outside A of -log(a+ / max a+)

a is an attribution of the true class's logit, summed over channels: input times gradient, as in the paper, or with
`attribution = "gradient"` the gradient alone; a+ = max(a, 0). A is True where an input must not matter: the shortcut,
or with `told = "outside core"`, as in the paper, everything outside the object. The paper's energy 1 - sum M a+ / sum
a+ is the same for M = 1 - A.

The energy is free of scale: shrinking all gradients, by which the penalty of RRR can be met in part, leaves it
unchanged. L1 asks for a map that is uniform outside A. PPCE says nothing of A itself, and a flat map is its optimum.
Input times gradient is 0 at black pixels whatever the gradient is: a black shortcut is free under it.

The authors add e over the batch of 64: their strength of 1e-3 for the energy is 0.064 in rrrbench's unit.

Deviations: the attribution is at the input; the authors have B-cos attributions and Grad-CAM, at middle layers too. The
class is the label, where theirs is drawn from an image's classes. An input without any positive attribution has energy
0; theirs has 1. In both cases its term has no gradient.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Terms, annotated, cross_entropy, mitigations
from ..gradients import input_gradient
from ..network import Net
from ..told import ToldWhere
from ..units import from_published

EPSILON = 1e-12
LARGEST = 100.0
"""At most -log of a share, as in the libraries' binary cross-entropy. The smallest number of float32 is met before."""


@mitigations.register
class ModelGuidance(ToldWhere):
    """Asks that positive attributions lie outside the forbidden part of an input."""

    name: ClassVar[str] = "model_guidance"
    paper: ClassVar[str] = "Rao et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, \frac{\sum_{ij} A_{nij}\, a^+_{nij}}{\sum_{ij} a^+_{nij}}, \\ "
        r"a^+_{nij} &= \max\left(0, \sum_c x_{ncij} \frac{\partial z_{y_n}(x_n)}{\partial x_{ncij}} \right)"
    )

    loss: Literal["energy", "l1", "ppce"] = "energy"
    attribution: Literal["input_times_gradient", "gradient"] = "input_times_gradient"

    @property
    def published_strength(self) -> float | None:  # pyrefly: ignore  # of the loss, where other methods' are fixed
        of_energy = from_published(1e-3, right_reason="sum", right_answer="mean", batch_size=64)
        return of_energy if self.loss == "energy" else None

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        told = self.forbidding(batch)
        gradient, logits = input_gradient(
            net, batch.inputs, lambda logits: logits.gather(-1, batch.labels[:, None])[:, 0]
        )
        values = gradient * batch.inputs if self.attribution == "input_times_gradient" else gradient
        forbidden = told.masks.expand_as(values)
        if values.dim() > 2:
            values, forbidden = values.sum(1), forbidden.any(1)
        errors = LOSSES[self.loss](values.flatten(1).relu(), forbidden.flatten(1))
        return Terms(cross_entropy(logits, batch.labels), strength * (annotated(told) * errors).mean())


def energy(positive: Float[Tensor, "batch pixels"], forbidden: Bool[Tensor, "batch pixels"]) -> Float[Tensor, "batch"]:
    """The forbidden pixels' share of the attribution; 0 for an attribution of zeros."""
    return (positive * forbidden).sum(1) / (positive.sum(1) + EPSILON)


def l1(positive: Float[Tensor, "batch pixels"], forbidden: Bool[Tensor, "batch pixels"]) -> Float[Tensor, "batch"]:
    """The mean distance of the scaled attribution from 1 outside the forbidden pixels and 0 within."""
    return (scaled(positive) - (~forbidden).to(positive)).abs().mean(1)


def ppce(positive: Float[Tensor, "batch pixels"], forbidden: Bool[Tensor, "batch pixels"]) -> Float[Tensor, "batch"]:
    """The mean -log of the scaled attribution outside the forbidden pixels."""
    surprise = -scaled(positive).clamp(min=torch.finfo(positive.dtype).tiny).log()
    allowed = (~forbidden).to(positive)
    return (surprise.clamp(max=LARGEST) * allowed).sum(1) / allowed.sum(1).clamp(min=1)


def scaled(positive: Float[Tensor, "batch pixels"]) -> Float[Tensor, "batch pixels"]:
    """The attribution over its greatest pixel, which is differentiated too."""
    return positive / (positive.amax(1, keepdim=True) + EPSILON)


LOSSES = {"energy": energy, "l1": l1, "ppce": ppce}
