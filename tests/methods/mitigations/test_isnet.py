from __future__ import annotations

import math

import pytest
import torch
from linear_network import BATCH, INPUTS, MASKS, NET, STRENGTH, WEIGHT
from rrrbench.methods.mitigations.isnet import ISNet, background, least_probable_log_odds
from small import Linear, bound, small_net_and_batch


def test_the_least_probable_class_by_hand():
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = logits.softmax(1).amin(1)
    torch.testing.assert_close(least_probable_log_odds(logits), (p / (1 - p)).log())


def test_pooling_by_rank_by_hand():
    """Allowed pixels 1 and 3, mean 2; forbidden pixels 4 and 6, so 3 and 2 in its units, then zeros."""
    relevance = torch.tensor([[[4.0, 1.0, 6.0, 3.0]]], dtype=torch.float64)
    forbidden = torch.tensor([[[True, False, True, False]]])
    expected = (3 + 2 * 0.5) / (1 + 0.5 + 0.25 + 0.125)
    assert background(relevance, forbidden, 0.5).item() == pytest.approx(expected, rel=1e-6)
    assert background(relevance, forbidden, 1.0).item() == pytest.approx(5 / 4, rel=1e-6)  # the mean
    assert background(relevance, forbidden, 1e-9).item() == pytest.approx(3, rel=1e-6)  # the maximum


@pytest.mark.parametrize("pixels", [100, 10000])
def test_at_a_decay_of_0_9_forty_pixels_have_nearly_all_the_weight_whatever_the_images_size(pixels):
    relevance = torch.zeros(1, 1, pixels, dtype=torch.float64)
    relevance[..., :41] = 1.0
    forbidden = torch.arange(pixels).expand(1, 1, pixels) != 40  # the allowed pixel is the unit
    assert background(relevance, forbidden, 0.9).item() == pytest.approx(1 - 0.9**40, rel=1e-3)


def test_the_term_of_a_linear_network_written_out():
    """d/dx (z_k - log sum of the others' exp) = W_k - sum_j q_j W_j, q the softmax of the others."""
    logits, total = INPUTS @ WEIGHT.T, 0.0
    for n in (0, 1):  # input 2 has no mask
        k = int(logits[n].argmin())
        others = [j for j in range(4) if j != k]
        q = logits[n, others].softmax(0)
        relevance = (INPUTS[n] * (WEIGHT[k] - q @ WEIGHT[others])).abs()
        inside = (relevance[MASKS[n]] / relevance[~MASKS[n]].mean()).sort(descending=True).values.tolist()
        weights = [0.9**i for i in range(5)]
        total += math.log(1 + sum(w * v for w, v in zip(weights, inside, strict=False)) / sum(weights))
    value = ISNet().terms(NET, BATCH, STRENGTH).right_reason
    torch.testing.assert_close(value.item(), STRENGTH.item() * total / 3, rtol=1e-6, atol=0)


def test_it_cannot_be_met_by_shrinking_all_relevance():
    """Of a linear network whose logits are ever smaller, with the class that is least probable held."""
    relevance = torch.rand(2, 1, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    forbidden = torch.arange(9) < 3
    shrunk, whole = (background(scale * relevance, forbidden.expand(2, 1, 9), 0.9) for scale in (1e-3, 1.0))
    torch.testing.assert_close(shrunk, whole, rtol=1e-4, atol=0)


def test_more_relevance_of_the_object_lowers_it_too():
    """What the paper's second loss is for, and this file leaves out."""
    relevance, forbidden = torch.ones(1, 1, 6), torch.arange(6).expand(1, 1, 6) < 2
    huge = torch.where(forbidden, relevance, 100.0)
    assert background(huge, forbidden, 0.9) < background(relevance, forbidden, 0.9) / 50


def test_a_black_shortcut_is_free():
    black = BATCH._replace(inputs=torch.where(MASKS, 0.0, INPUTS))
    assert ISNet().terms(NET, black, STRENGTH).right_reason.item() == 0


def test_its_gradient_equals_finite_differences():
    (gradient,) = torch.autograd.grad(ISNet().terms(NET, BATCH, STRENGTH).right_reason, NET.module.head.weight)
    step = torch.zeros_like(WEIGHT)
    step[2, 1] = 1e-6
    up, down = (ISNet().terms(bound(Linear(WEIGHT + s * step)), BATCH, STRENGTH).right_reason.item() for s in (1, -1))
    torch.testing.assert_close(gradient[2, 1].item(), (up - down) / 2e-6, rtol=1e-5, atol=1e-8)


def test_all_outside_the_core_is_background():
    net, batch = small_net_and_batch()
    told = ISNet(told="outside core").terms(net, batch, STRENGTH).right_reason
    same = ISNet().terms(net, batch._replace(masks=~batch.core, touched=None), STRENGTH).right_reason
    torch.testing.assert_close(told, same)


def test_an_input_without_an_allowed_pixel_has_no_share_to_bound():
    whole = BATCH._replace(masks=torch.ones_like(MASKS))
    assert ISNet().terms(NET, whole, STRENGTH).right_reason.item() == 0


def test_the_published_mixture_of_0_7_is_a_strength():
    assert ISNet.published_strength == pytest.approx(7 / 3)
