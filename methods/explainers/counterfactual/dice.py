"""DiCE: diverse counterfactuals by gradient descent (Mothilal, Sharma, Tan 2020, arxiv.org/abs/1905.07697, section 3).

    1/n sum_i [ max(0, 1 - log-odds(z_i)) + proximity * dist(z_i, z) ] - diversity * det K
    K_ij = 1 / (1 + dist(z_i, z_j))

dist is the mean over the latents of |difference| / MAD, and the log-odds are those of the class that is not predicted.
The determinant is each input's own.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from .base import CounterfactualExplainer, Question, counterfactuals, minimised

START = 0.5
"""Standard deviation of the start around the input: near-equal points have no determinant to raise."""
RIDGE = 1e-4
"""On K's diagonal, as in the paper."""


@counterfactuals.register
class Dice(CounterfactualExplainer):
    """Explanations that are valid, near, and, by a determinantal point process, different."""

    name: ClassVar[str] = "dice"
    lr: PositiveFloat = 0.1
    num_iters: PositiveInt = 50
    proximity_weight: NonNegativeFloat = 1
    diversity_weight: NonNegativeFloat = 1

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        latents, target = question.latents, question.other_class[:, None]
        unit = deviation(question.space.latents).to(latents)
        ridge = RIDGE * torch.eye(self.num_explanations).to(latents)

        def loss(points: Float[Tensor, "batch n z"]) -> Float[Tensor, "batch"]:
            validity = (1 - question.log_odds(points, target)).relu().mean(1)
            proximity = distance(points, latents[:, None], unit).mean(1)
            kernel = 1 / (1 + distance(points[:, :, None], points[:, None], unit)) + ridge
            return validity + self.proximity_weight * proximity - self.diversity_weight * torch.linalg.det(kernel)

        start = latents[:, None] + START * question.normal(self.num_explanations)
        return minimised(loss, start, self.lr, self.num_iters)


def deviation(latents: Float[Tensor, "n z"]) -> Float[Tensor, "z"]:
    """Each latent's median absolute deviation from its median; 1 where most inputs have the same value."""
    mad = (latents - latents.median(0).values).abs().median(0).values
    return torch.where(mad > 0, mad, 1)


def distance(
    one: Float[Tensor, "... z"], other: Float[Tensor, "... z"], unit: Float[Tensor, "z"]
) -> Float[Tensor, "..."]:
    """Mean over the latents of |difference| / unit."""
    return ((one - other).abs() / unit).mean(-1)
