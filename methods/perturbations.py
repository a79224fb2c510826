"""Perturbations of an input inside its mask: the box of all within a distance, and a search for the worst."""

from __future__ import annotations

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from ..datasets.base import Batch
from .base import annotated
from .intervals import Interval


def box_in_mask(batch: Batch, epsilon: float) -> Interval:
    """From x - epsilon A to x + epsilon A, cut at 0 and 1; epsilon = 1 allows every content of the masked pixels."""
    reach = epsilon * batch.masks.to(batch.inputs)
    return Interval((batch.inputs - reach).clamp(min=0), (batch.inputs + reach).clamp(max=1))


def worst_in_box(
    objective: Callable[[Float[Tensor, "batch *features"]], Float[Tensor, ""]],
    start: Float[Tensor, "batch *features"],
    box: Interval,
    epsilon: float,
    steps: int,
) -> Float[Tensor, "batch *features"]:
    """Projected sign-gradient ascent (Madry et al. 2018) from `start`, with steps of epsilon / `steps`.

    Args:
        objective: a sum over the batch, of a detached network, because the result is a constant for the loss.
    """
    point = start
    for _ in range(steps):
        point = point + epsilon / steps * grad(objective)(point).sign()
        point = point.clamp(box.lower, box.upper)
    return point.detach()


def annotated_error(logits: Float[Tensor, "batch classes"], batch: Batch) -> Float[Tensor, ""]:
    """Mean over the batch of -log p_y, counted as 0 for inputs without a mask, which have no perturbation."""
    return (F.cross_entropy(logits, batch.labels, reduction="none") * annotated(batch)).mean()
