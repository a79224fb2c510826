"""DiVE: diverse valuable explanations (Rodríguez et al. 2021, arxiv.org/abs/2103.10226, section 3).

    1/n sum_i [ -log p_other(G(z + e_i)) + reconstruction |x - G(z + e_i)|_1 + lasso |e_i|_1 ]
        + diversity / (n (n - 1)) sum_{i != j} cos^2(e_i, e_j)

Each e_i may be confined to some latents, by the Fisher information of the prediction at the training inputs,

    F = mean_z sum_k p_k (d log p_k / dz)(d log p_k / dz)^T = mean_z p (1 - p) (d log-odds / dz)(d log-odds / dz)^T

    fisher_spectral      spectral clusters of the latents with affinity |F|: e_i moves only the i-th
    fisher_spectral_inv  e_i moves all but the i-th
    fisher_chunk         latents by falling F_dd, in n chunks: e_i moves all but the i-th
    fisher_range         e_i moves all but the first i of them
    random               latents in random order, in n chunks: e_i moves all but the i-th
    none                 e_i moves all
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from .base import (
    Classifier,
    CounterfactualExplainer,
    Explained,
    Generator,
    Question,
    counterfactuals,
    log_odds,
    minimised,
)

Method = Literal["fisher_spectral", "fisher_spectral_inv", "fisher_chunk", "fisher_range", "random", "none"]
START = 0.01
"""Standard deviation of the first e."""


@counterfactuals.register
class Dive(CounterfactualExplainer):
    """Explanations that are kept from making the same change."""

    name: ClassVar[str] = "dive"
    lr: PositiveFloat = 0.1
    num_iters: PositiveInt = 50
    diversity_weight: NonNegativeFloat = 0.001
    lasso_weight: NonNegativeFloat = 0.1
    reconstruction_weight: NonNegativeFloat = 0.0001
    method: Method = "fisher_spectral"

    def prepare(self, explained: Explained) -> Bool[Tensor, "n z"] | None:
        """Which latents each explanation may move, by the Fisher information; None for a method that needs none."""
        if self.method in ("none", "random"):
            return None
        information = fisher(explained.space.latents, explained.classifier, explained.generator)
        return self._by_information(information)

    def explain(self, question: Question) -> Float[Tensor, "batch n z"]:
        latents, images, target = question.latents, question.images, question.other_class[:, None]
        free = self.free(question).to(latents)

        def loss(change: Float[Tensor, "batch n z"]) -> Float[Tensor, "batch"]:
            change = change * free
            found, changed = question.decoded(latents[:, None] + change)
            flip = F.softplus(-log_odds(found, target))
            reconstruction = (changed - images[:, None]).abs().flatten(2).sum(2)
            each = flip + self.reconstruction_weight * reconstruction + self.lasso_weight * change.abs().sum(2)
            return each.mean(1) + self.diversity_weight * overlap(change)

        start = START * question.normal(self.num_explanations)
        return latents[:, None] + free * minimised(loss, start, self.lr, self.num_iters)

    def free(self, question: Question) -> Bool[Tensor, "n z"]:
        """Which latents each explanation may move; drawn anew for every batch where the method is `random`."""
        n, z = self.num_explanations, question.latents.shape[1]
        match self.method:
            case "none":
                return torch.ones(n, z, dtype=torch.bool)
            case "random":
                return ~members(torch.randperm(z, generator=question.rng) * min(n, z) // z, n)
            case _:
                return question.prepared

    def _by_information(self, information: Float[Tensor, "z z"]) -> Bool[Tensor, "n z"]:
        n, z = self.num_explanations, len(information)
        if self.method.startswith("fisher_spectral"):
            moved = members(clusters(information, min(n, z)), n)
            return moved if self.method == "fisher_spectral" else ~moved
        place = information.diagonal().argsort(descending=True).argsort().cpu()  # by falling information
        if self.method == "fisher_chunk":
            return ~members(place * min(n, z) // z, n)
        return place >= torch.arange(n)[:, None] % z


def fisher(latents: Float[Tensor, "n z"], classifier: Classifier, generator: Generator) -> Float[Tensor, "z z"]:
    """mean_z p (1 - p) (d log-odds / dz)(d log-odds / dz)^T, over any number of latents."""
    total = latents.new_zeros(latents.shape[1], latents.shape[1])
    for some in latents.split(512):
        point = some.detach().clone().requires_grad_()
        with torch.enable_grad():
            logits = classifier(generator(point))
            odds = logits[:, 1] - logits[:, 0]
            (gradient,) = torch.autograd.grad(odds.sum(), point)
        p = odds.detach().sigmoid()[:, None]
        total += (p * (1 - p) * gradient).T @ gradient
    return total / len(latents)


def clusters(information: Float[Tensor, "z z"], n: int) -> Int[Tensor, "z"]:
    """The spectral cluster of each latent; latents that matter together are together."""
    from sklearn.cluster import SpectralClustering  # takes seconds

    affinity = information.abs().double().cpu().numpy()
    affinity = (affinity + affinity.T) / 2  # some BLAS libraries round a product and its transpose differently
    affinity = affinity / max(affinity.max(), np.finfo(float).tiny) + 1e-9  # connected, whatever the classifier
    if n == len(affinity):
        return torch.arange(n)  # nothing to find
    labels = SpectralClustering(n, affinity="precomputed", random_state=0).fit_predict(affinity)
    return torch.from_numpy(labels).long()


def members(group: Int[Tensor, "z"], n: int) -> Bool[Tensor, "n z"]:
    """Row i: who is in group i; groups are taken in turn if there are fewer than n."""
    return group == (torch.arange(n) % (int(group.max()) + 1))[:, None]


def overlap(change: Float[Tensor, "batch n z"]) -> Float[Tensor, "batch"]:
    """Mean over pairs of cos^2; 0 for a single explanation."""
    n = change.shape[1]
    direction = F.normalize(change, dim=2)
    cos = direction @ direction.transpose(1, 2)
    pairs = cos.square() * (1 - torch.eye(n).to(cos))
    return pairs.sum((1, 2)) / max(n * (n - 1), 1)
