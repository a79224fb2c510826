"""Input gradient of a class's log-odds: points where the gradient of its probability points, without underflow.

    a = d/dx log(p_t / (1 - p_t)) = d/dx (z_t - logsumexp_{k != t} z_k) = (d p_t / dx) / (p_t (1 - p_t))

This gradient is a positive multiple of the gradient of p_t, so every metric that ignores the scale of an input's
attribution gives both the same value. Ross et al. (2017) draw their masks M_c from max_k p_k; but in float32 1 - p_t
rounds to 0 once a class leads by 17 nats, and the gradient of p_t loses its direction, then its size. The log-odds
never compute 1 - p_t.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor

from ..gradients import input_gradient
from .base import Explainer, ForwardFunction, explainers


@explainers.register
class InputGradientPredicted(Explainer):
    """Gradient of the target's log-odds; the target is usually the predicted class."""

    name: ClassVar[str] = "input_gradient_predicted"
    equation: ClassVar[str] = r"a &= \frac{\partial}{\partial x} \log \frac{p_t(x)}{1 - p_t(x)}"

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        return input_gradient(network, inputs, lambda logits: target_log_odds(logits, target))[0]


def target_log_odds(logits: Float[Tensor, "batch classes"], target: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """log(p_t / (1 - p_t)) of the target class, among two classes or more."""
    index = target.unsqueeze(1)
    others = logits.scatter(1, index, float("-inf")).logsumexp(1)
    return logits.gather(1, index).squeeze(1) - others
