"""Input gradient of all classes' log-probabilities (Ross, Hughes, Doshi-Velez 2017, arxiv.org/abs/1703.03717).

    a = d/dx sum_k log p_k(x)

RRR penalises this gradient. The sum over classes needs no target, and its gradient does not vanish on confident inputs,
where the gradient of the loss does.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from ..gradients import input_gradient
from .base import Explainer, ForwardFunction, explainers


@explainers.register
class InputGradient(Explainer):
    """Gradient of sum_k log p_k."""

    name: ClassVar[str] = "input_gradient"
    equation: ClassVar[str] = r"a &= \frac{\partial}{\partial x} \sum_k \log p_k(x)"

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        return input_gradient(network, inputs, lambda logits: logits.log_softmax(1).sum(1))[0]
