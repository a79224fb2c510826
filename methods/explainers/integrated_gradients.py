"""Captum's integrated gradients of the target's logit (Sundararajan, Taly, Yan 2017, arxiv.org/abs/1703.01365).

    a_d = x_d * integral over s in [0, 1] of dz_t(s x) / dx_d

The baseline is zeros, black in an image, so a feature that is 0 gets no attribution whatever the network does with it.
Complete: the attributions of an input sum to z_t(x) - z_t(0).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, Network, explainers


@explainers.register
class IntegratedGradients(Explainer):
    """Integrated gradients from a baseline of zeros, by Gauss-Legendre quadrature."""

    name: ClassVar[str] = "integrated_gradients"
    internal_batch_size: ClassVar[int] = 1024  # inputs in one pass: bounds the memory, changes no result

    n_steps: Annotated[int, Field(ge=1, description="points of the quadrature")] = 50

    def explain(
        self, network: Network, inputs: Float[Tensor, "batch *features"], target: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import IntegratedGradients as Captum  # imports matplotlib: 2 s that only this needs

        size = self.internal_batch_size  # captum takes no fewer than one step of all its inputs
        chunks = zip(inputs.split(size), target.split(size), strict=True)
        captum = Captum(network)
        return torch.cat(
            [
                captum.attribute(some, 0.0, target=theirs, n_steps=self.n_steps, internal_batch_size=size)
                for some, theirs in chunks
            ]
        )
