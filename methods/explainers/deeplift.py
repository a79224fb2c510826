"""Captum's DeepLIFT, rescale rule (Shrikumar, Greenside, Kundaje 2017, arxiv.org/abs/1704.02685).

    a_d = (x_d - b_d) * m_d,    m = dz_t/dx with (f(x) - f(b)) / (x - b) for the derivative of every nonlinear layer f

Complete: the attributions of an input sum to z_t(x) - z_t(b), if every nonlinearity is a module that captum has a rule
for: ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus, Softmax, MaxPool. Others are passed by their gradient, and a module
that is applied twice is an error. Inputs go one by one: where a max-pool's input is the baseline's, captum 0.9 takes
the first input's gradient for all (its issue 1276).
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from .base import Explainer, Network, explainers
from .layers import as_module, differentiable, without_captums_warnings


@explainers.register
class DeepLIFT(Explainer):
    """Contributions to the logit's difference from a baseline, by the rescale rule."""

    name: ClassVar[str] = "deeplift"
    equation: ClassVar[str] = (
        r"a_d &= (x_d - b_d)\, m_d, \quad m = \frac{\partial z_t}{\partial x} \text{ with } \frac{f(x) - f(b)}{x - b} "
        r"\text{ for } f'(x) \text{ of every nonlinear layer } f"
    )
    internal_batch_size: ClassVar[int] = 1
    needs_layers: ClassVar[bool] = True
    has_baseline: ClassVar[bool] = True

    def explain(
        self,
        network: Network,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import DeepLift

        with without_captums_warnings():
            return DeepLift(as_module(network)).attribute(differentiable(inputs), baselines, target).detach()
