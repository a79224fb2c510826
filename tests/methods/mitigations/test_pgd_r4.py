from __future__ import annotations

import torch
from opposed_logits import BATCH, OPPOSED, STRENGTH, WORST, W, right_reason
from rrrbench.methods.mitigations.pgd_r4 import PGDR4


def test_pgd_r4_of_opposed_logits_ends_where_the_error_is_largest():
    # z = (w x, -w x), so d log p_0 / dx = 2 p_1 w, which grows as p_1 does
    p_1 = OPPOSED(WORST[:1]).softmax(-1)[0, 1]
    expected = STRENGTH * ((2 * p_1 * W)[:2].square().sum()) / 2
    torch.testing.assert_close(right_reason(PGDR4(epsilon=1.0), OPPOSED, BATCH), expected)
