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


def same_numbers(actual: Tensor, expected: Tensor, rtol: float, atol: float, subject: str) -> None:
    """Raises Violation unless two tensors are equal up to rounding."""
    try:
        torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol)
    except AssertionError as error:
        raise Violation(f"{subject} differ: {error}") from error
