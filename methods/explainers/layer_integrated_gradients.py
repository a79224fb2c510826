"""Captum's integrated gradients of the target's logit in a layer, enlarged bilinearly to the inputs.

    A_k = (h_k(x) - h_k(b)) * integral over s in [0, 1] of dz_t(h(b) + s (h(x) - h(b))) / dh_k
    a   = sum over channels of A, at the inputs' size

Sundararajan, Taly, Yan 2017 (arxiv.org/abs/1703.01365) with the hidden layer h as the input. A is complete: A sums to
z_t(x) - z_t(b). The sum of a depends on the sizes of maps and inputs, too.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers
from .layers import as_module, convolution, over_inputs


@explainers.register
class LayerIntegratedGradients(Explainer):
    """Integrated gradients in the feature maps of a convolution."""

    name: ClassVar[str] = "layer_integrated_gradients"
    equation: ClassVar[str] = (
        r"A_k &= (h_k(x) - h_k(b)) \int_0^1 \frac{\partial z_t}{\partial h_k} \left( h(b) + s (h(x) - h(b)) \right) "
        r"ds, \\ "
        r"a &= \text{sum over channels of } A \text{, at the inputs' size}"
    )
    needs_layers: ClassVar[bool] = True
    needs_convolutions: ClassVar[bool] = True
    has_baseline: ClassVar[bool] = True

    layer: Annotated[str | None, Field(description="dotted name; None for the last convolution")] = None
    n_steps: Annotated[int, Field(ge=1, description="points of the quadrature")] = 50

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch channels rows columns"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch channels rows columns"],
    ) -> Float[Tensor, "batch channels rows columns"]:
        from captum.attr import LayerIntegratedGradients as Captum

        module = as_module(network)
        maps = Captum(module, convolution(module, inputs, self.layer)).attribute(
            inputs, baselines, target=target, n_steps=self.n_steps, internal_batch_size=self.inputs_in_a_pass(inputs)
        )
        return over_inputs(maps, inputs)  # pyrefly: ignore
