"""How well each logit orders the inputs by class, whatever the threshold: AUC, by environment."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import ENVIRONMENTS
from .base import Metric, Values, metrics
from .evaluated import Evaluated


def auc(logits: Float[Tensor, "*stack n classes"], labels: Int[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    """Area under the ROC curve of each logit, its class against the rest; the mean over the classes, in [0, 1].

    The probability that an input of the class has a larger logit than an input of another class; equal logits count
    half (Hanley & McNeil 1982). Viviano et al. 2021 average so over two classes. Classes without an input, or without
    an input of another class, are left out; NaN for a network whose logits are not finite.
    """
    ranks = shared_ranks(logits.double().mT.contiguous())
    members = F.one_hot(labels, logits.shape[-1]).double().mT
    own, n = members.sum(-1), len(labels)
    pairs = own * (n - own)
    area = ((ranks * members).sum(-1) - own * (own + 1) / 2) / pairs
    return area[..., pairs > 0].mean(-1)


def shared_ranks(values: Float[Tensor, "*stack n"]) -> Float[Tensor, "*stack n"]:
    """The rank of each value, 1 for the least; equal values share their mean rank. NaN for what is not finite."""
    ascending = values.sort(-1).values
    below, up_to = (torch.searchsorted(ascending, values, right=equal) for equal in (False, True))
    return ((below + up_to + 1).double() / 2).masked_fill(~values.isfinite(), torch.nan)


@metrics.measured_by(
    Metric(
        "auc/{environment}",
        "higher",
        0,
        1,
        "0.5 for guesses",
        "Area under the ROC curve of each class's logit against the rest, mean over classes.",
    )
)
def discriminations(evaluated: Evaluated) -> Values:
    """In every environment that has inputs."""
    return {
        f"auc/{environment}": auc(evaluated.logits[environment].cpu(), labels)
        for environment in ENVIRONMENTS
        if environment in evaluated.logits and len(labels := evaluated.draw.test(environment).labels)
    }
