"""Captum's integrated gradients of the target's logit (Sundararajan, Taly, Yan 2017, arxiv.org/abs/1703.01365).

    a_d = (x_d - b_d) * integral over s in [0, 1] of dz_t(b + s (x - b)) / dx_d

Complete: the attributions of an input sum to z_t(x) - z_t(b). Without a given baseline, b is zeros, black in an image:
a feature that is 0 then gets no attribution, whatever the network does with the feature.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers


@explainers.register
class IntegratedGradients(Explainer):
    """Integrated gradients from a baseline, by Gauss-Legendre quadrature."""

    name: ClassVar[str] = "integrated_gradients"
    equation: ClassVar[str] = (
        r"a_d &= (x_d - b_d) \int_0^1 \frac{\partial z_t}{\partial x_d} \left( b + s (x - b) \right) ds"
    )
    has_baseline: ClassVar[bool] = True

    n_steps: Annotated[int, Field(ge=1, description="points of the quadrature")] = 50

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import IntegratedGradients as Captum  # imports matplotlib, which takes 2 s

        return Captum(network).attribute(
            inputs, baselines, target=target, n_steps=self.n_steps, internal_batch_size=self.inputs_in_a_pass(inputs)
        )
