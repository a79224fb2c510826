"""Targets: the number for each input whose input gradient a right-reason term penalises.

`log_prob_sum` is the default, because its gradient does not vanish on fitted points. Gradients with a factor (1 - p_y),
such as that of `log_prob_true`, vanish there (Ross et al. 2017 and `docs/losses.md`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..datasets.base import Batch

TargetName = Literal[
    "log_prob_sum",
    "log_prob_true",
    "cross_entropy",
    "predicted",
    "random_projection",
    "prob_max",
    "prob_sum",
    "logit_sum",
]
DEGENERATE: frozenset[TargetName] = frozenset({"prob_sum", "logit_sum"})


def log_prob_sum(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """sum_k log p_k (Ross et al. 2017, eq. 1)."""
    return F.log_softmax(logits, -1).sum(-1)


def log_prob_true(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """log p_y; its gradient has a factor (1 - p_y) and vanishes on fitted points (ShortKit-ML)."""
    return F.log_softmax(logits, -1).gather(-1, batch.labels[:, None])[:, 0]


def cross_entropy(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """-log p_y, as in the baselines of CDEP and R4; the squared gradient is that of `log_prob_true`."""
    return -log_prob_true(logits, batch)


def predicted(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """max_k log p_k (Ross's "log max")."""
    return F.log_softmax(logits, -1).amax(-1)


def random_projection(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """sum_k v_k log p_k with random signs v_k, drawn anew for every input and step."""
    return (batch.draws["signs"] * F.log_softmax(logits, -1)).sum(-1)


def prob_max(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """max_k p_k (Ross's "linear max"); its gradient vanishes on confident points."""
    return F.softmax(logits, -1).amax(-1)


def prob_sum(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """sum_k p_k (Ross's "linear sum"). Degenerate: the sum is 1 everywhere."""
    return F.softmax(logits, -1).sum(-1)


def logit_sum(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, "batch"]:
    """sum_k z_k. Degenerate: a function of x added to all logits changes the sum, but not p (Heo et al. 2023)."""
    return logits.sum(-1)


TARGETS: dict[TargetName, Callable[[Tensor, Batch], Tensor]] = {name: globals()[name] for name in get_args(TargetName)}
