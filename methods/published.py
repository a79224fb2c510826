"""Strengths in other papers' units, converted to ours."""

from __future__ import annotations

from typing import Literal

Reduction = Literal["sum", "mean"]


def from_published(
    strength: float,
    *,
    right_reason: Reduction = "sum",
    right_answer: Reduction = "sum",
    batch_size: int = 1,
    pixel_range: tuple[float, float] = (0.0, 1.0),
    entries: int = 1,
) -> float:
    """The strength in rrrbench's unit: both terms are means over the batch of per-input sums, inputs in [0, 1].

    With x' = low + (high - low) x, gradients scale by 1 / (high - low), so a squared one by 1 / (high - low)^2.
    Adam and the initialisation are not scale-free, so a converted value centres a search and does not end it.

    Args:
        right_reason, right_answer: how the paper reduces each term over the batch.
        batch_size: matters where one is summed and the other averaged.
        pixel_range: of the inputs the paper trained on, e.g. (0, 255).
        entries: what the penalty was averaged over besides the batch, e.g. 784 for a mean over all entries (R4).

    Raises:
        ValueError: a pixel range that is empty, or a batch size or entries below 1.
    """
    low, high = pixel_range
    if not high > low:
        raise ValueError(f"pixel_range = ({low:g}, {high:g}) is empty: give (low, high), e.g. (0, 255)")
    if batch_size < 1 or entries < 1:
        raise ValueError(f"batch_size = {batch_size} and entries = {entries} must be at least 1")
    per_input = {("sum", "mean"): batch_size, ("mean", "sum"): 1 / batch_size}.get((right_reason, right_answer), 1)
    return strength * per_input / entries / (high - low) ** 2
