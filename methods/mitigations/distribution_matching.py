r"""Matching of feature distributions across shortcut values, within each label.

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * distance(S_n, T_n)

S_n holds the features h (the last layer's input) of input n and of `size` - 1 further inputs with n's label and n's
shortcut value. T_n holds those of `size` inputs with n's label and another shortcut value. Both are drawn with
replacement from the batch, anew in every step, so that the term is a mean over inputs. a_n = 0 for an input without
such a T_n in the batch, else 1. The distances between two samples, with means mu and covariances C:

- `coral` (Sun and Saenko, ECCV workshops 2016; with means as in DomainBed):
  mean_c (mu_S - mu_T)_c^2 + mean_cc' (C_S - C_T)_cc'^2, with C divided by `size` - 1.
- `mmd` (Gretton et al., JMLR 2012): mean k(S, S) + mean k(T, T) - 2 mean k(S, T), k(g, h) = sum over gamma in
  10^-3, 10^-2, ..., 10^3 of exp(-gamma ||g - h||^2), DomainBed's kernel.
- `dcor` (Szekely, Rizzo, Bakirov, Annals of Statistics 2007): the squared distance correlation between h
  and the sample that it is of, mean(A B) / sqrt(mean(A A) mean(B B)), with A the doubly centred Euclidean distances of
  h among S and T together, and B those of the samples' indices.

Within each label, because at a correlation near 1 the distribution of h given the shortcut value alone is that of the
class: matching it would align the classes. Every distance compares two empirical distributions and is 0 where they are
equal, and never below 0: the unbiased MMD is, and is then rewarded. The distance correlation is squared, because a
square root has an infinite gradient at 0. Distances of small samples are above 0 for equal distributions, too, and all
but `dcor` shrink with the features.

Published strengths: 1 for CORAL and MMD in DomainBed, where they are searched in 0.1 to 10; 0.5 for the distance
correlation in berenslab/medical-shortcut-mitigation, on batches of 900. Released code matches domains in pairs, over
all labels.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..choosing import choose_candidates
from ..network import Net

GAMMAS = tuple(10.0**power for power in range(-3, 4))
EPSILON = 1e-12


@mitigations.register
class DistributionMatching(Mitigation):
    """Draws the distributions of features together, across shortcut values of the same label.

    Attributes:
        size: inputs in each of the two samples that are compared.
    """

    name: ClassVar[str] = "distribution_matching"
    paper: ClassVar[str] = "Sun & Saenko 2016"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}}\, a_n \left( \underset{c}{\operatorname{mean}} (\mu_{S_n} - \mu_{T_n})_c^2 "
        r"+ \underset{c c'}{\operatorname{mean}} (C_{S_n} - C_{T_n})_{c c'}^2 \right), \\ "
        r"S_n &\subset \{m : y_m = y_n, s_m = s_n\}, \quad T_n \subset \{m : y_m = y_n, s_m \neq s_n\}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True

    distance: Literal["coral", "mmd", "dcor"] = "coral"
    size: Annotated[int, Field(ge=2)] = 4

    @property
    def published_strength(self) -> float | None:  # pyrefly: ignore  # of the distance, where other methods' are fixed
        return 0.5 if self.distance == "dcor" else 1.0

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        same_label = batch.labels[:, None] == batch.labels
        same_shortcut = batch.shortcuts[:, None] == batch.shortcuts
        others = same_label & ~same_shortcut
        matched = others.any(1)
        alike = choose_candidates(same_label & same_shortcut, self.size - 1, generator)
        unlike = choose_candidates(others | ~matched[:, None], self.size, generator)
        drawn = {"alike": batch.inputs[alike], "unlike": batch.inputs[unlike], "matched": matched}
        return batch._replace(draws={**batch.draws, **drawn})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        draws, hidden = batch.draws, net.features(batch.inputs)
        alike, unlike = (
            net.features(draws[name].flatten(0, 1)).unflatten(0, (len(batch.labels), -1))
            for name in ("alike", "unlike")
        )
        distances = DISTANCES[self.distance](torch.cat((hidden[:, None], alike), 1), unlike)
        return Terms(
            right_answer=cross_entropy(net.head(hidden), batch.labels),
            right_reason=strength * (draws["matched"].to(distances) * distances).mean(),
        )


def coral(s: Float[Tensor, "batch size width"], t: Float[Tensor, "batch size width"]) -> Float[Tensor, "batch"]:
    """The mean squared difference of the means, and of the covariances."""
    (mean_s, covariance_s), (mean_t, covariance_t) = moments(s), moments(t)
    return (mean_s - mean_t).square().mean(1) + (covariance_s - covariance_t).square().mean((1, 2))


def moments(sample: Float[Tensor, "batch size width"]) -> tuple[Tensor, Tensor]:
    """The mean, and the covariance divided by `size` - 1."""
    mean = sample.mean(1, keepdim=True)
    centred = sample - mean
    return mean[:, 0], centred.mT @ centred / (sample.shape[1] - 1)


def mmd(s: Float[Tensor, "batch size width"], t: Float[Tensor, "batch size width"]) -> Float[Tensor, "batch"]:
    """The squared maximum mean discrepancy of the samples' empirical distributions."""
    return kernel(s, s) + kernel(t, t) - 2 * kernel(s, t)


def kernel(s: Float[Tensor, "batch size width"], t: Float[Tensor, "batch size width"]) -> Float[Tensor, "batch"]:
    """The mean over all pairs of the sum of Gaussian kernels."""
    squares = squared_distances(s, t)
    return torch.stack([(-gamma * squares).exp() for gamma in GAMMAS]).sum(0).mean((1, 2))


def dcor(s: Float[Tensor, "batch size width"], t: Float[Tensor, "batch size width"]) -> Float[Tensor, "batch"]:
    """The squared distance correlation of a feature vector and the sample that it is of."""
    both = torch.cat((s, t), 1)
    index = torch.cat((torch.zeros_like(s[:, :, :1]), torch.ones_like(t[:, :, :1])), 1)
    a, b = (doubly_centred((squared_distances(x, x) + EPSILON).sqrt()) for x in (both, index))
    variances = a.square().mean((1, 2)) * b.square().mean((1, 2))
    return (a * b).mean((1, 2)) / (variances + EPSILON).sqrt()


def doubly_centred(distances: Float[Tensor, "batch size size"]) -> Float[Tensor, "batch size size"]:
    """The distances minus the means of their rows and columns, plus the mean of all."""
    rows, columns = distances.mean(1, keepdim=True), distances.mean(2, keepdim=True)
    return distances - rows - columns + distances.mean((1, 2), keepdim=True)


def squared_distances(
    s: Float[Tensor, "batch size width"], t: Float[Tensor, "batch size width"]
) -> Float[Tensor, "batch size size"]:
    """||s_i - t_j||^2."""
    return (s[:, :, None] - t[:, None]).square().sum(-1)


DISTANCES = {"coral": coral, "mmd": mmd, "dcor": dcor}
