"""A broken law, and the words in which laws break."""

from __future__ import annotations

import torch
from torch import Tensor


class Violation(AssertionError):
    """A law that does not hold; the message says what was measured, and what to do."""


def require(holds: bool, message: str) -> None:
    """Raises Violation with the message unless a condition holds."""
    if not holds:
        raise Violation(message)


def same_numbers(actual: Tensor, expected: Tensor, rtol: float, atol: float, subject: str, way_out: str) -> None:
    """Raises Violation unless two tensors are equal up to rounding.

    Args:
        subject: what differs, in the plural.
        way_out: what to do where it differs.
    """
    for kind, own, other in (
        ("shape", tuple(actual.shape), tuple(expected.shape)),
        ("type", actual.dtype, expected.dtype),
    ):
        require(own == other, f"{subject} differ in {kind}, {own} and {other}: {way_out}")
    close = torch.isclose(actual, expected, rtol, atol)
    if not bool(close.all()):
        allowed = atol + rtol * expected.abs()
        beyond = ((actual - expected).abs() - allowed).nan_to_num(nan=torch.inf).masked_fill(close, -torch.inf)
        largest = beyond.argmax()
        one, other, most = (float(numbers.detach().flatten()[largest]) for numbers in (actual, expected, allowed))
        raise Violation(
            f"{subject} differ by {abs(one - other):.3g} ({one:.6g} and {other:.6g}), where {most:.1g} is allowed for "
            f"rounding: {way_out}"
        )
