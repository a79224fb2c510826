"""Training on perturbations in the mask: avg_ex, pgd_ex, ibp_ex, and the R4 family."""

from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.gradients import input_gradient, masked_input_gradient
from rrrbench.methods.mitigations.avg_ex import AvgEx
from rrrbench.methods.mitigations.ibp_ex import IBPEx
from rrrbench.methods.mitigations.ibp_ex_rrr import IBPExRRR
from rrrbench.methods.mitigations.pgd_ex import PGDEx
from rrrbench.methods.mitigations.pgd_ex_rrr import PGDExRRR
from rrrbench.methods.mitigations.pgd_r4 import PGDR4
from rrrbench.methods.mitigations.r4 import R4
from rrrbench.methods.mitigations.rand_r4 import RandR4
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.perturbations import box_in_mask, worst_in_box
from rrrbench.methods.restriction import restricted
from rrrbench.methods.targets import log_prob_true
from small import Linear, bound, small_net_and_batch
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
INPUTS = torch.tensor([[0.2, 0.5, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64)
MASKS = torch.tensor([[True, True, False], [False, False, False]])
BATCH = Batch(INPUTS, torch.tensor([0, 1]), MASKS, torch.tensor([0, 1]))
W = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
OPPOSED = bound(Linear(torch.stack([W, -W])))
WORST = torch.tensor([[0.0, 1.0, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64)  # for class 0, of any masked content


def right_reason(mitigation, net, batch) -> torch.Tensor:
    batch = mitigation.augment(batch, 3, torch.Generator().manual_seed(0))
    return mitigation.terms(net, batch, STRENGTH).right_reason


def test_the_released_r4_takes_probabilities_for_logits_in_its_first_term_alone():
    net, batch = small_net_and_batch()
    released, ours = (R4(double_softmax=twice).terms(net, batch, STRENGTH) for twice in (True, False))
    assert released.right_answer == F.cross_entropy(net(batch.inputs).softmax(-1), batch.labels)
    assert released.right_reason == ours.right_reason


@pytest.mark.parametrize("pixel_range", ["unit", (-1.0, 3.0)])
def test_a_restricted_network_is_the_network_with_the_other_pixels_held(pixel_range):
    net, batch = small_net_and_batch({"name": "mlp", "hidden": [32, 16], "init": "torch", "pixel_range": pixel_range})
    touched = batch.masks.any(0).flatten().nonzero()[:, 0]
    logits, touched_net, touched_batch = restricted(net, batch._replace(touched=touched))
    assert torch.equal(logits, net(batch.inputs))
    assert touched_batch.inputs.shape == (len(batch.labels), len(touched))
    shown = torch.rand_like(touched_batch.inputs)
    whole = batch.inputs.flatten(1).index_copy(1, touched, shown).view_as(batch.inputs)
    torch.testing.assert_close(touched_net(shown), net(whole))
    parameters = list(net.parameters.values())
    gradients = [torch.autograd.grad(output.tanh().sum(), parameters) for output in (touched_net(shown), net(whole))]
    torch.testing.assert_close(*gradients)
    assert not touched_net.detached()(shown).requires_grad


def test_a_convolution_and_masks_anywhere_are_not_restricted():
    dense, batch = small_net_and_batch()
    module = torch.nn.Module()
    module.features = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.Tanh(), torch.nn.Flatten()).double()
    module.head = torch.nn.Linear(48, 3).double()
    for net, seen in ((dense, batch), (bound(module), batch._replace(touched=torch.tensor([0])))):
        logits, touched_net, touched_batch = restricted(net, seen)
        assert torch.equal(logits, net(batch.inputs))
        assert touched_net is net
        assert touched_batch is seen


def test_what_is_drawn_once_an_input_is_not_taken_for_pixels():
    net, batch = bound(Linear(torch.eye(3, dtype=torch.float64))), BATCH._replace(touched=torch.tensor([0, 1]))
    three = Batch(
        *(field[[0, 1, 1]] for field in batch[:4]), {"upweight": torch.tensor([1.0, 2.0, 3.0])}, batch.touched
    )
    assert torch.equal(restricted(net, three)[2].draws["upweight"], three.draws["upweight"])


def test_the_box_is_cut_at_the_range_of_pixels_and_is_a_point_outside_the_mask():
    box = box_in_mask(BATCH, 0.3)
    torch.testing.assert_close(box.lower, torch.tensor([[0.0, 0.2, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64))
    torch.testing.assert_close(box.upper, torch.tensor([[0.5, 0.8, 0.9], [0.4, 0.3, 0.6]], dtype=torch.float64))


def test_the_attack_finds_the_corner_of_a_linear_objective():
    found = worst_in_box(lambda x: -(x @ W).sum(), INPUTS, box_in_mask(BATCH, 1.0), 1.0, steps=3)
    torch.testing.assert_close(found, WORST)


@pytest.mark.parametrize("mitigation", [PGDEx(), IBPEx()], ids=lambda m: m.id)
def test_the_worst_error_of_opposed_logits_is_exact_and_leaves_out_inputs_without_a_mask(mitigation):
    expected = STRENGTH * F.cross_entropy(OPPOSED(WORST[:1]), torch.tensor([0])) / 2
    torch.testing.assert_close(right_reason(mitigation, OPPOSED, BATCH), expected)


def test_an_attack_is_no_worse_than_the_bound_and_no_better_than_the_input():
    net, batch = small_net_and_batch({"name": "mlp", "hidden": [32, 16], "init": "torch"})
    clean = STRENGTH * F.cross_entropy(net(batch.inputs), batch.labels)
    attack, certified = (right_reason(mitigation, net, batch) for mitigation in (PGDEx(), IBPEx()))
    assert clean < attack < certified


def test_noise_stays_in_the_mask():
    batch = AvgEx(sigma=0.5).augment(BATCH, 2, torch.Generator().manual_seed(0))
    noisy = INPUTS[:1] + 0.5 * batch.draws["noise"][:1] * MASKS[:1]
    expected = STRENGTH * F.cross_entropy(OPPOSED(noisy), torch.tensor([0])) / 2
    torch.testing.assert_close(AvgEx(sigma=0.5).terms(OPPOSED, batch, STRENGTH).right_reason, expected)


@pytest.mark.parametrize(("both", "robust"), [(PGDExRRR, PGDEx), (IBPExRRR, IBPEx)])
def test_a_combination_is_the_sum_of_its_terms(both, robust):
    net, batch = small_net_and_batch()
    combined = both(rrr_weight=0.3, epsilon=0.2).terms(net, batch, STRENGTH)
    alone, gradient = robust(epsilon=0.2).terms(net, batch, STRENGTH), RRR().terms(net, batch, STRENGTH)
    torch.testing.assert_close(combined.right_answer, alone.right_answer)
    torch.testing.assert_close(combined.right_reason, alone.right_reason + 0.3 * gradient.right_reason)


def test_r4_without_room_is_twice_the_absolute_gradient_of_the_error():
    net, batch = small_net_and_batch()
    gradient, _ = masked_input_gradient(net, batch, lambda z: log_prob_true(z, batch))
    expected = 2 * STRENGTH * gradient.abs().sum(1).mean()
    torch.testing.assert_close(right_reason(R4(epsilon=1e-12), net, batch), expected)


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


def test_pgd_r4_of_opposed_logits_ends_where_the_error_is_largest():
    # z = (w x, -w x), so d log p_0 / dx = 2 p_1 w, which grows as p_1 does
    p_1 = OPPOSED(WORST[:1]).softmax(-1)[0, 1]
    expected = STRENGTH * ((2 * p_1 * W)[:2].square().sum()) / 2
    torch.testing.assert_close(right_reason(PGDR4(epsilon=1.0), OPPOSED, BATCH), expected)
