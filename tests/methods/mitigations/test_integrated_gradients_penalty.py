from __future__ import annotations

import torch
from linear_network import INPUTS, MASKS, STRENGTH, gradient_at, right_reason
from rrrbench.methods.gradients import masked_input_gradients
from rrrbench.methods.mitigations.integrated_gradients_penalty import IntegratedGradientsPenalty
from rrrbench.methods.targets import log_prob_sum
from small import small_net_and_batch


def test_integrated_gradients_of_one_step_by_hand():
    attribution = INPUTS * gradient_at(INPUTS / 2)
    expected = STRENGTH * (MASKS * attribution).square().sum(1).mean()
    torch.testing.assert_close(right_reason(IntegratedGradientsPenalty(steps=1)), expected)


def test_integrated_gradients_add_up_to_the_difference_from_black():
    net, batch = small_net_and_batch()
    batch = batch._replace(masks=torch.ones_like(batch.masks))
    points = torch.stack([(j + 0.5) / 500 * batch.inputs for j in range(500)], 1)
    attribution = batch.inputs.flatten(1) * masked_input_gradients(net, batch, points, log_prob_sum).mean(1)
    difference = log_prob_sum(net(batch.inputs), batch) - log_prob_sum(net(torch.zeros_like(batch.inputs)), batch)
    torch.testing.assert_close(attribution.sum(1), difference, rtol=1e-3, atol=1e-5)
