"""Whether a network's probabilities mean what they say: Brier score, calibration error, and AUGRC, by environment."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import ENVIRONMENTS
from .base import Metric, Values, metrics
from .discrimination import shared_ranks
from .evaluated import Evaluated

BINS = 15


def brier_score(logits: Float[Tensor, "*stack n classes"], labels: Int[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    """Mean over the inputs of sum_k (p_k - 1[k is the label])^2, in [0, 2] (Brier 1950): not halved."""
    probabilities = logits.double().softmax(-1)
    return (probabilities - F.one_hot(labels, logits.shape[-1])).square().sum(-1).mean(-1)


def calibration_error(logits: Float[Tensor, "*stack n classes"], labels: Int[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    """Expected calibration error (Guo et al. 2017, equation 3), in [0, 1]: sum_b N_b / N |accuracy_b - confidence_b|.

    Over 15 bins [i / 15, (i + 1) / 15) of the largest probability, the last one with 1 itself. NaN for a network whose
    logits are not finite.
    """
    confidence, predicted = logits.double().softmax(-1).max(-1)
    over = (predicted == labels).double() - confidence
    bins = (confidence.nan_to_num() * BINS).long().clamp(max=BINS - 1)
    sums = torch.zeros(*over.shape[:-1], BINS, dtype=over.dtype, device=over.device).scatter_add(-1, bins, over)
    return sums.abs().sum(-1) / len(labels)


def augrc(logits: Float[Tensor, "*stack n classes"], labels: Int[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    """Area under the generalised risk coverage curve (Traub et al. 2024, arxiv.org/abs/2407.01032), in [0, 1].

    The share of all inputs that are predicted wrongly and accepted, averaged over how many of the most confident are
    accepted. For right or wrong predictions it is acc (1 - acc) (1 - AUROC) + (1 - acc)^2 / 2, where AUROC is the
    probability that a right prediction has more confidence than a wrong one; equal confidences count half.
    """
    confidence, predicted = logits.double().softmax(-1).max(-1)
    right = (predicted == labels).double()
    rights, n = right.sum(-1), len(labels)
    ordered = (shared_ranks(confidence) * right).sum(-1) - rights * (
        rights + 1
    ) / 2  # pairs of a right and a wrong one, in that order
    return (rights * (n - rights) - ordered) / n**2 + (1 - rights / n).square() / 2


@metrics.measured_by(
    Metric(
        "brier/{environment}",
        "lower",
        0,
        2,
        "1 - 1/classes for uniform probabilities",
        "Mean squared distance of the probabilities from the label's, summed over classes.",
    ),
    Metric(
        "calibration_error/{environment}",
        "lower",
        0,
        1,
        "0 for uniform probabilities and balanced classes",
        "Distance of confidence from accuracy, in 15 bins of confidence.",
    ),
    Metric(
        "augrc/{environment}",
        "lower",
        0,
        1,
        "(1 - 1/classes) / 2 for guesses of equal confidence",
        "Share of inputs that are accepted and wrong, averaged over how many of the most confident are accepted.",
    ),
)
def confidences(evaluated: Evaluated) -> Values:
    """In every environment that has inputs."""
    measured = {}
    for environment in ENVIRONMENTS:
        if environment in evaluated.logits and len(labels := evaluated.draw.test(environment).labels):
            logits = evaluated.logits[environment].cpu()
            for name, measure in (("brier", brier_score), ("calibration_error", calibration_error), ("augrc", augrc)):
                measured[f"{name}/{environment}"] = measure(logits, labels)
    return measured
