"""Numbers that differ: by how much, and what is allowed."""

import pytest
import torch
from rrrbench.benchmark.conformance.violation import Violation, same_numbers

EXPECTED = torch.tensor([[1.0, -2.0], [3.0, torch.inf]], dtype=torch.float64)


def compare(actual):
    same_numbers(actual, EXPECTED, 1e-7, 1e-9, "the numbers here and there", "mend them")


def changed(value):
    actual = EXPECTED.clone()
    actual[0, 1] = value
    return actual


@pytest.mark.parametrize("value", [-2.0, -2.0 - 1e-7])
def test_rounding_is_no_difference(value):
    compare(changed(value))


@pytest.mark.parametrize(
    ("actual", "said"),
    [
        (changed(-2.5), r"there differ by 0\.5 \(-2\.5 and -2\), where 2e-07 is allowed for rounding: mend them"),
        (changed(torch.nan), r"differ by nan \(nan and -2\)"),
        (changed(torch.inf), r"differ by inf \(inf and -2\)"),
        (EXPECTED[0], r"differ in shape, \(2,\) and \(2, 2\): mend them"),
        (EXPECTED.float(), r"differ in type, torch\.float32 and torch\.float64: mend them"),
    ],
)
def test_a_difference_is_said_with_the_largest(actual, said):
    with pytest.raises(Violation, match=said):
        compare(actual)
