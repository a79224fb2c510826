"""Captum's guided Grad-CAM (Selvaraju et al. 2017, arxiv.org/abs/1610.02391).

    a = Grad-CAM, enlarged bilinearly, * dz_t/dx by guided backpropagation

Guided backpropagation (Springenberg et al. 2015, arxiv.org/abs/1412.6806) passes positive gradients only back through
a ReLU, so it draws edges whatever the weights are (Adebayo et al. 2018, arxiv.org/abs/1810.03292).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers
from .layers import as_module, caution_functional_relus, convolution, differentiable, without_captums_warnings


@explainers.register
class GuidedGradCAM(Explainer):
    """Grad-CAM times guided backpropagation."""

    name: ClassVar[str] = "guided_gradcam"
    equation: ClassVar[str] = (
        r"a &= \operatorname{ReLU} \left( \sum_c F_c\, \underset{ij}{\operatorname{mean}} \frac{\partial z_t}{\partial "
        r"F_{cij}} \right) \odot \left. \frac{\partial z_t}{\partial x} \right|_{\text{guided}}"
    )
    needs_layers: ClassVar[bool] = True
    needs_convolutions: ClassVar[bool] = True

    layer: Annotated[str | None, Field(description="dotted name; None for the last convolution")] = None

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch channels rows columns"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch channels rows columns"],
    ) -> Float[Tensor, "batch channels rows columns"]:
        from captum.attr import GuidedGradCam

        module = as_module(network)
        layer = convolution(module, inputs, self.layer)
        caution_functional_relus(self.id, module, inputs)
        captum = GuidedGradCam(module, layer)
        with without_captums_warnings():
            return captum.attribute(differentiable(inputs), target, interpolate_mode="bilinear").detach()
