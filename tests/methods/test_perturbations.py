"""Boxes and attacks in the mask: the parts that pgd_ex, ibp_ex and pgd_r4 share."""

from __future__ import annotations

import pytest
import torch
from opposed_logits import BATCH, INPUTS, OPPOSED, STRENGTH, WORST, W, right_reason
from rrrbench.methods.mitigations.ibp_ex import IBPEx
from rrrbench.methods.mitigations.ibp_ex_rrr import IBPExRRR
from rrrbench.methods.mitigations.pgd_ex import PGDEx
from rrrbench.methods.mitigations.pgd_ex_rrr import PGDExRRR
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.perturbations import box_in_mask, worst_in_box
from small import small_net_and_batch
from torch.nn import functional as F


def test_the_box_is_cut_at_the_range_of_pixels_and_is_a_point_outside_the_mask():
    box = box_in_mask(BATCH, 0.3)
    torch.testing.assert_close(box.lower, torch.tensor([[0.0, 0.2, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64))
    torch.testing.assert_close(box.upper, torch.tensor([[0.5, 0.8, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64))


def test_the_attack_finds_the_corner_of_a_linear_objective():
    found = worst_in_box(lambda x: -(x @ W).sum(), INPUTS, box_in_mask(BATCH, 1.0), 1.0, steps=3)
    torch.testing.assert_close(found, WORST)


@pytest.mark.parametrize("mitigation", [PGDEx(), IBPEx()], ids=lambda m: m.id)
def test_the_worst_error_is_exact_and_leaves_out_inputs_without_a_mask(mitigation):
    expected = STRENGTH * F.cross_entropy(OPPOSED(WORST[:1]), torch.tensor([0])) / 2
    torch.testing.assert_close(right_reason(mitigation, OPPOSED, BATCH), expected)


def test_an_attack_is_no_worse_than_the_bound_and_no_better_than_the_input():
    net, batch = small_net_and_batch({"name": "mlp", "hidden": [32, 16], "init": "torch"})
    clean = STRENGTH * F.cross_entropy(net(batch.inputs), batch.labels)
    attack, certified = (right_reason(mitigation, net, batch) for mitigation in (PGDEx(), IBPEx()))
    assert clean < attack < certified


@pytest.mark.parametrize(("both", "robust"), [(PGDExRRR, PGDEx), (IBPExRRR, IBPEx)])
def test_a_combination_is_the_sum_of_its_terms(both, robust):
    net, batch = small_net_and_batch()
    combined = both(rrr_weight=0.3, epsilon=0.2).terms(net, batch, STRENGTH)
    alone, gradient = robust(epsilon=0.2).terms(net, batch, STRENGTH), RRR().terms(net, batch, STRENGTH)
    torch.testing.assert_close(combined.right_answer, alone.right_answer)
    torch.testing.assert_close(combined.right_reason, alone.right_reason + 0.3 * gradient.right_reason)
