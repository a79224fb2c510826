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
from torch import Tensor

from .base import (
    Classifier,
    ExplainerBase,
    Generator,
    decoded,
    log_odds,
    minimised,
    not_negative,
    other_class,
    positive,
)

START = 0.5
"""Standard deviation of the start around the input: near-equal points have no determinant to raise."""
RIDGE = 1e-4
"""On K's diagonal, as in the paper."""


class Dice(ExplainerBase):
    """Explanations that are valid, near, and, by a determinantal point process, different."""

    name: ClassVar[str] = "dice"

    def __init__(
        self,
        num_explanations: int = 10,
        lr: float = 0.1,
        num_iters: int = 50,
        proximity_weight: float = 1,
        diversity_weight: float = 1,
    ) -> None:
        positive(num_explanations=num_explanations, lr=lr, num_iters=num_iters)
        not_negative(proximity_weight=proximity_weight, diversity_weight=diversity_weight)
        self.num_explanations = num_explanations
        self.lr = lr
        self.num_iters = num_iters
        self.proximity_weight = proximity_weight
        self.diversity_weight = diversity_weight

    def explain_batch(
        self,
        latents: Float[Tensor, "batch z"],
        logits: Float[Tensor, "batch 2"],
        images: Float[Tensor, "batch channels rows columns"],
        classifier: Classifier,
        generator: Generator,
    ) -> Float[Tensor, "batch n z"]:
        target = other_class(logits)[:, None]
        unit = deviation(self.space.latents).to(latents)
        ridge = RIDGE * torch.eye(self.num_explanations).to(latents)

        def loss(points: Float[Tensor, "batch n z"]) -> Float[Tensor, "batch"]:
            validity = (1 - log_odds(decoded(points, classifier, generator)[0], target)).relu().mean(1)
            proximity = distance(points, latents[:, None], unit).mean(1)
            kernel = 1 / (1 + distance(points[:, :, None], points[:, None], unit)) + ridge
            return validity + self.proximity_weight * proximity - self.diversity_weight * torch.linalg.det(kernel)

        start = latents[:, None] + START * self.normal(latents, self.num_explanations)
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
