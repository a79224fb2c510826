"""Captum's Grad-CAM (Selvaraju et al. 2017, arxiv.org/abs/1610.02391), enlarged bilinearly to the inputs.

    a = ReLU( sum_c F_c * mean_ij dz_t / dF_cij ),    F the feature maps of the last convolution

The ReLU drops evidence against the class: an input without evidence for the class gets zeros. The attribution is as
coarse as the feature maps.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers
from .layers import as_module, convolution, differentiable, over_inputs


@explainers.register
class GradCAM(Explainer):
    """Feature maps of a convolution, weighted by the logit's mean gradient."""

    name: ClassVar[str] = "gradcam"
    equation: ClassVar[str] = (
        r"a &= \operatorname{ReLU} \left( \sum_c F_c\, \underset{ij}{\operatorname{mean}} \frac{\partial z_t}{\partial "
        r"F_{cij}} \right)"
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
        from captum.attr import LayerGradCam

        module = as_module(network)
        captum = LayerGradCam(module, convolution(module, inputs, self.layer))
        maps = captum.attribute(differentiable(inputs), target, relu_attributions=True)
        return over_inputs(maps, inputs)  # pyrefly: ignore
