from __future__ import annotations

import pytest
import torch
from linear_network import drawn
from rrrbench.methods.mitigations.expected_gradients import ExpectedGradients
from rrrbench.methods.mitigations.smooth_rrr import SmoothRRR


@pytest.mark.parametrize("mitigation", [SmoothRRR(), ExpectedGradients()], ids=lambda m: m.id)
def test_what_is_drawn_depends_on_the_generator_alone_and_keeps_the_dtype(mitigation):
    first, second = (drawn(mitigation).draws for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.dtype == torch.float64 for value in first.values())
