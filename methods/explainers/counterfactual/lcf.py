"""Latent-CF: gradient descent to a probability (Balasubramanian et al. 2020, arxiv.org/abs/2012.09301, algorithm 1).

    z <- z - lr * d/dz [ -p log q(z) - (1 - p) log(1 - q(z)) ]      q: probability of the class that was predicted

until q is within `tolerance` of p, and the prediction another: a tolerance that reaches beyond 1/2 would stop before.
The loss is cross-entropy, whose gradient does not vanish where the classifier is sure. Each explanation has its own
steps and its own end.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from .base import Classifier, ExplainerBase, Generator, decoded, log_odds, other_class, positive

START = 0.01
"""Standard deviation of the start around the input."""


class LCF(ExplainerBase):
    """The first points on the way downhill that have another prediction.

    Args:
        p: probability that the predicted class is to have in the end.
        tolerance: how near to it is near enough.
    """

    name: ClassVar[str] = "lcf"

    def __init__(
        self, num_explanations: int = 10, lr: float = 0.1, num_iters: int = 50, p: float = 0.1, tolerance: float = 0.5
    ) -> None:
        positive(num_explanations=num_explanations, lr=lr, num_iters=num_iters, tolerance=tolerance)
        if not 0 <= p < 0.5:
            raise ValueError(f"p is {p}, expected less than 0.5: it is the probability of a class not to be predicted")
        self.num_explanations = num_explanations
        self.lr = lr
        self.num_iters = num_iters
        self.p = p
        self.tolerance = tolerance

    def explain_batch(
        self,
        latents: Float[Tensor, "batch z"],
        logits: Float[Tensor, "batch 2"],
        images: Float[Tensor, "batch channels rows columns"],
        classifier: Classifier,
        generator: Generator,
    ) -> Float[Tensor, "batch n z"]:
        target = other_class(logits)[:, None]
        points = latents[:, None] + START * self.normal(latents, self.num_explanations)
        for _ in range(self.num_iters):
            points = points.detach().requires_grad_()
            with torch.enable_grad():
                odds = -log_odds(decoded(points, classifier, generator)[0], target)
                goal = torch.full_like(odds, self.p)
                (gradient,) = torch.autograd.grad(
                    F.binary_cross_entropy_with_logits(odds, goal, reduction="sum"), points
                )
            arrived = (odds < 0) & ((odds.sigmoid() - self.p).abs() <= self.tolerance)
            points = points.detach() - self.lr * gradient * ~arrived[:, :, None]
            if arrived.all():
                break
        return points.detach()
