"""SmoothGrad by captum's noise tunnel (Smilkov, Thorat, Kim, Viégas, Wattenberg 2017, arxiv.org/abs/1706.03825).

    a = mean over e ~ N(0, noise^2) of dz_t(x + e) / dx

The paper takes a standard deviation of 10 to 20 % of the inputs' range, which is [0, 1] here.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers, seed_global_draws


@explainers.register
class SmoothGradient(Explainer):
    """Mean gradient of the target's logit over noise on the input."""

    name: ClassVar[str] = "smooth_gradient"
    equation: ClassVar[str] = (
        r"a &= \underset{e}{\operatorname{mean}} \frac{\partial z_t}{\partial x} (x + e), \quad e \sim \mathcal{N}(0, "
        r"\text{noise}^2 I)"
    )
    draws: ClassVar[bool] = True

    n_samples: Annotated[int, Field(ge=1, description="noisy inputs")] = 25
    noise: Annotated[float, Field(gt=0, description="standard deviation of the noise")] = 0.15
    seed: Annotated[int, Field(ge=0, description="of the noise, the same for every input")] = 0

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        from captum.attr import NoiseTunnel, Saliency

        seed_global_draws(self.seed, inputs.device)
        return NoiseTunnel(Saliency(network)).attribute(  # pyrefly: ignore
            inputs,
            nt_samples=self.n_samples,
            stdevs=self.noise,
            target=target,
            abs=False,
        )
