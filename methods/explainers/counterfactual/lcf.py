"""Latent-CF: gradient descent to a probability (Balasubramanian et al. 2020, arxiv.org/abs/2012.09301, algorithm 1).

    z <- z - lr * d/dz [ -p log q(z) - (1 - p) log(1 - q(z)) ]      q: probability of the class that was predicted

until q is within `tolerance` of p, and the prediction another: a tolerance that reaches beyond 1/2 would stop before.
The loss is cross-entropy, whose gradient does not vanish where the classifier is sure. Each explanation has its own
steps and its own end.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from .base import CounterfactualExplainer, Question, counterfactuals

START = 0.01
"""Standard deviation of the start around the input."""


@counterfactuals.register
class LCF(CounterfactualExplainer):
    """The first points on the way downhill that have another prediction.

    Attributes:
        p: probability that the predicted class is to have in the end; below 1/2, or it would still be predicted.
        tolerance: how near to `p` is near enough.
    """

    name: ClassVar[str] = "lcf"
    lr: PositiveFloat = 0.1
    num_iters: PositiveInt = 50
    p: Annotated[float, Field(ge=0, lt=0.5)] = 0.1
    tolerance: PositiveFloat = 0.5

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        latents, target = question.latents, question.other_class[:, None]
        points = latents[:, None] + START * question.normal(self.num_explanations)
        for _ in range(self.num_iters):
            points = points.detach().requires_grad_()
            with torch.enable_grad():
                odds = -question.log_odds(points, target)
                goal = torch.full_like(odds, self.p)
                (gradient,) = torch.autograd.grad(
                    F.binary_cross_entropy_with_logits(odds, goal, reduction="sum"), points
                )
            arrived = (odds < 0) & ((odds.sigmoid() - self.p).abs() <= self.tolerance)
            points = points.detach() - self.lr * gradient * ~arrived[:, :, None]
            if arrived.all():
                break
        return points.detach()
