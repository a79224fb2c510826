from __future__ import annotations

import pytest
import torch
from opposed_logits import STRENGTH, right_reason
from rrrbench.methods.gradients import input_gradient
from rrrbench.methods.mitigations.pgd_r4 import PGDR4
from rrrbench.methods.mitigations.rand_r4 import RandR4
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.perturbations import box_in_mask
from rrrbench.methods.targets import log_prob_true
from small import small_net_and_batch


@pytest.mark.parametrize("mitigation", [RandR4(epsilon=1e-12), PGDR4(epsilon=1e-12)], ids=lambda m: m.name)
def test_one_point_r4_is_rrr_on_the_cross_entropy(mitigation):
    net, batch = small_net_and_batch()
    expected = RRR(target="cross_entropy").terms(net, batch, STRENGTH).right_reason
    torch.testing.assert_close(right_reason(mitigation, net, batch), expected)


def test_rand_r4_takes_the_largest_of_its_samples():
    net, batch = small_net_and_batch()
    batch = RandR4(samples=3).augment(batch, 3, torch.Generator().manual_seed(0))
    box = box_in_mask(batch, 0.5)

    def size_at(sample: int) -> torch.Tensor:
        point = box.lower + batch.draws["fractions"][:, sample] * (box.upper - box.lower)
        gradient, _ = input_gradient(net, point, lambda z: log_prob_true(z, batch))
        return (gradient * batch.masks).square().flatten(1).sum(1)

    expected = STRENGTH * torch.stack([size_at(sample) for sample in range(3)]).amax(0).mean()
    torch.testing.assert_close(RandR4(samples=3).terms(net, batch, STRENGTH).right_reason, expected)
