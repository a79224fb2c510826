"""Captum's gradient SHAP: expected gradients (Erion, Janizek, Sturmfels, Lundberg, Lee 2021, arxiv.org/abs/1906.10670).

    a = mean over s ~ U(0, 1), e ~ N(0, noise^2) of (x + e - b) * dz_t(b + s (x + e - b)) / dx

The reference distribution of an input is its baseline alone. Without noise, the attributions therefore estimate
integrated gradients by Monte Carlo.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers, seed_global_draws


@explainers.register
class GradientSHAP(Explainer):
    """Integrated gradients at random points, with noise on the input."""

    name: ClassVar[str] = "gradient_shap"
    equation: ClassVar[str] = (
        r"a &= \underset{s, e}{\operatorname{mean}} (x + e - b) \odot \frac{\partial z_t}{\partial x} \left( b + s (x "
        r"+ e - b) \right), \\ "
        r"s &\sim U(0, 1), \quad e \sim \mathcal{N}(0, \text{noise}^2 I)"
    )
    has_baseline: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    n_samples: Annotated[int, Field(ge=1, description="points drawn between baseline and input")] = 25
    noise: Annotated[float, Field(ge=0, description="standard deviation of noise on the input")] = 0.0
    seed: Annotated[int, Field(ge=0, description="of the points, the same for every input")] = 0

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import GradientShap

        seed_global_draws(self.seed, inputs.device)
        return (
            GradientShap(network)
            .attribute(inputs, baselines, n_samples=self.n_samples, stdevs=float(self.noise), target=target)
            .detach()
        )
