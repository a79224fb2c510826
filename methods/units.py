"""Conversion of strengths from papers' units to rrrbench's unit."""

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
    """Converts a strength to rrrbench's unit: both terms are means over the batch of per-input sums, inputs in [0, 1].

    With x' = low + (high - low) x, gradients scale by 1 / (high - low), so squared gradients by 1 / (high - low)^2.
    Adam and the initialisation depend on the scale, so a converted strength is the centre of a search and not its end.

    Args:
        right_reason, right_answer: how the paper reduces each term over the batch.
        batch_size: the paper's; matters where one term is summed over the batch and the other averaged.
        pixel_range: of the inputs that the paper trained on, e.g. (0, 255).
        entries: number of entries that the penalty is averaged over besides the batch, e.g. 784 for a mean over all
            entries of 28x28 inputs (R4).

    Raises:
        ValueError: the pixel range is empty, or `batch_size` or `entries` is below 1.
    """
    low, high = pixel_range
    if not high > low:
        raise ValueError(f"pixel_range = ({low:g}, {high:g}) is empty: give (low, high), e.g. (0, 255)")
    if batch_size < 1 or entries < 1:
        raise ValueError(f"batch_size = {batch_size} and entries = {entries} must be at least 1")
    per_input = {("sum", "mean"): batch_size, ("mean", "sum"): 1 / batch_size}.get((right_reason, right_answer), 1)
    return strength * per_input / entries / (high - low) ** 2
