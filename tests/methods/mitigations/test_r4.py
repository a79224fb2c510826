from __future__ import annotations

import torch
from opposed_logits import STRENGTH, right_reason
from rrrbench.methods.gradients import masked_input_gradient
from rrrbench.methods.mitigations.r4 import R4
from rrrbench.methods.targets import log_prob_true
from small import small_net_and_batch
from torch.nn import functional as F


def test_the_released_r4_takes_probabilities_for_logits_in_its_first_term_alone():
    net, batch = small_net_and_batch()
    released, ours = (R4(double_softmax=twice).terms(net, batch, STRENGTH) for twice in (True, False))
    assert released.right_answer == F.cross_entropy(net(batch.inputs).softmax(-1), batch.labels)
    assert released.right_reason == ours.right_reason


def test_r4_without_room_is_twice_the_absolute_gradient_of_the_error():
    net, batch = small_net_and_batch()
    gradient, _ = masked_input_gradient(net, batch, lambda z: log_prob_true(z, batch))
    expected = 2 * STRENGTH * gradient.abs().sum(1).mean()
    torch.testing.assert_close(right_reason(R4(epsilon=1e-12), net, batch), expected)
