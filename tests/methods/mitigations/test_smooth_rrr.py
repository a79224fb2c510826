from __future__ import annotations

import torch
from linear_network import INPUTS, MASKS, STRENGTH, drawn, gradient_at, right_reason
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.mitigations.smooth_rrr import SmoothRRR


def test_smoothing_averages_gradients_before_it_squares_them():
    mitigation = SmoothRRR(sigma=0.5, samples=3)
    batch = drawn(mitigation)
    smooth = gradient_at(INPUTS[:, None] + 0.5 * batch.draws["noise"]).mean(1)
    torch.testing.assert_close(right_reason(mitigation, batch), STRENGTH * (MASKS * smooth).square().sum(1).mean())


def test_smoothing_over_nothing_is_rrr():
    mitigation = SmoothRRR(sigma=1e-9)
    torch.testing.assert_close(right_reason(mitigation, drawn(mitigation)), right_reason(RRR()))
