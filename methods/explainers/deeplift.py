"""Captum's DeepLIFT, rescale rule (Shrikumar, Greenside, Kundaje 2017, arxiv.org/abs/1704.02685).

    a_d = (x_d - b_d) * m_d,    m = dz_t/dx with (f(x) - f(b)) / (x - b) for the derivative of every nonlinear layer f

Complete: the attributions of an input sum to z_t(x) - z_t(b), if every nonlinearity is a module with a rule in captum:
ReLU, ELU, LeakyReLU, Sigmoid, Tanh, Softplus, Softmax, MaxPool. Other nonlinearities, functional ReLUs among them, are
passed by their gradient, and a warning names the gap; a module that is applied twice is an error. The rule of max
pooling is ours, because captum 0.9 loses contributions of windows that overlap, and takes the first input's gradient
for all inputs where the input of a max-pool equals the baseline's (issue 1276 of captum).
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers
from .layers import as_module, caution_incomplete, differentiable, incomplete, without_captums_warnings
from .max_pooling import rescale_max_pooling


@explainers.register
class DeepLIFT(Explainer):
    """Contributions to the difference between the logits of input and baseline, by the rescale rule."""

    name: ClassVar[str] = "deeplift"
    equation: ClassVar[str] = (
        r"a_d &= (x_d - b_d)\, m_d, \quad m = \frac{\partial z_t}{\partial x} \text{ with } \frac{f(x) - f(b)}{x - b} "
        r"\text{ for } f'(x) \text{ of every nonlinear layer } f"
    )
    needs_layers: ClassVar[bool] = True
    has_baseline: ClassVar[bool] = True

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import DeepLift

        module = as_module(network)
        rescale_max_pooling(module)
        with without_captums_warnings():
            attributions, delta = DeepLift(module).attribute(
                differentiable(inputs), baselines, target, return_convergence_delta=True
            )
        if incomplete((attributions,), delta):
            caution_incomplete(self.id, delta)
        return attributions.detach()
