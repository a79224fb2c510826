from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, STRENGTH, gradient_at, right_reason
from rrrbench.methods.mitigations.input_gradient_l2 import InputGradientL2


def test_the_whole_gradient_is_penalised_whatever_the_mask():
    expected = STRENGTH * gradient_at(INPUTS).square().sum(1).mean()
    torch.testing.assert_close(right_reason(InputGradientL2()), expected)
    torch.testing.assert_close(right_reason(InputGradientL2(), BATCH._replace(touched=torch.tensor([0]))), expected)
