"""Captum's input times gradient (Shrikumar, Greenside, Shcherbina, Kundaje 2016, arxiv.org/abs/1605.01713).

    a_d = x_d * dz_t(x) / dx_d

Complete against a baseline of zeros, if the network has linear layers, ReLU and max-pooling only, without biases.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers
from .layers import differentiable


@explainers.register
class GradientTimesInput(Explainer):
    """Gradient of the target's logit, times the input."""

    name: ClassVar[str] = "gradient_times_input"
    equation: ClassVar[str] = r"a_d &= x_d\, \frac{\partial z_t(x)}{\partial x_d}"

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import InputXGradient

        return InputXGradient(network).attribute(differentiable(inputs), target).detach()
