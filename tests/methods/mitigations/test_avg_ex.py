from __future__ import annotations

import torch
from opposed_logits import BATCH, INPUTS, MASKS, OPPOSED, STRENGTH
from rrrbench.methods.mitigations.avg_ex import AvgEx
from torch.nn import functional as F


def test_noise_stays_in_the_mask():
    batch = AvgEx(sigma=0.5).augment(BATCH, 2, torch.Generator().manual_seed(0))
    noisy = INPUTS[:1] + 0.5 * batch.draws["noise"][:1] * MASKS[:1]
    expected = STRENGTH * F.cross_entropy(OPPOSED(noisy), torch.tensor([0])) / 2
    torch.testing.assert_close(AvgEx(sigma=0.5).terms(OPPOSED, batch, STRENGTH).right_reason, expected)
