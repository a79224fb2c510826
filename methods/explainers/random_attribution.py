"""The floor: an attribution that knows neither the network nor the input.

    a ~ N(0, 1), one draw for a shape of inputs

An explainer that is no better than this noise does not track the network.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from .base import Explainer, ForwardFunction, explainers


@explainers.register
class RandomAttribution(Explainer):
    """Noise, the same for every network and input."""

    name: ClassVar[str] = "random_attribution"
    equation: ClassVar[str] = r"a &\sim \mathcal{N}(0, I)"

    seed: Annotated[int, Field(ge=0)] = 0

    def explain(
        self,
        network: ForwardFunction,
        inputs: Float[Tensor, "batch *features"],
        target: Int[Tensor, "batch"],
        baselines: Float[Tensor, "batch *features"],
    ) -> Float[Tensor, "batch *features"]:
        noise = torch.randn(inputs.shape[1:], generator=torch.Generator().manual_seed(self.seed))
        return noise.to(inputs).expand_as(inputs)
