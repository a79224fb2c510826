from __future__ import annotations

import pytest
import torch
from linear_network import BATCH, INPUTS, LABELS, NET, STRENGTH, WEIGHT, drawn
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.saliency_guided import SaliencyGuided, divergence, least
from small import Linear, bound
from torch.nn import functional as F


def test_the_term_written_out():
    """The gradient of log p_y of z = W x is W_y - sum_k p_k W_k."""
    batch = drawn(SaliencyGuided(share=0.4))
    p = (INPUTS @ WEIGHT.T).softmax(-1)
    gradient = WEIGHT[LABELS] - p @ WEIGHT
    changed = INPUTS.clone()
    for row, order in zip(range(3), gradient.abs().argsort(1), strict=True):
        changed[row, order[:2]] = batch.draws["filling"][row, order[:2]]
    other = (changed @ WEIGHT.T).softmax(-1)
    expected = STRENGTH * (p * (p / other).log()).sum(1).mean()
    torch.testing.assert_close(SaliencyGuided(share=0.4).terms(NET, batch, STRENGTH).right_reason, expected)


def test_the_absolute_gradient_decides_and_not_the_sign():
    """The strongest evidence against the label stays, which sorting by the signed gradient replaces first."""
    weight = torch.tensor([[0.0, 0.1, 0.0], [5.0, 0.0, 0.0]], dtype=torch.float64)
    inputs, labels = torch.full((1, 3), 0.5, dtype=torch.float64), torch.tensor([0])
    filling = {"filling": torch.zeros(1, 3, dtype=torch.float64)}
    batch = Batch(inputs, labels, torch.zeros(1, 3, dtype=torch.bool), labels, filling)
    value = SaliencyGuided(share=1 / 3).terms(bound(Linear(weight)), batch, STRENGTH).right_reason
    assert value.item() == pytest.approx(0, abs=1e-12)  # the third feature, which changes nothing


def test_the_gradient_is_a_constant():
    """A loss whose parts are trained as they are: the features that are replaced are given."""
    batch, weight = drawn(SaliencyGuided()), NET.module.head.weight
    (gradient,) = torch.autograd.grad(SaliencyGuided().terms(NET, batch, STRENGTH).right_reason, weight)
    p = (INPUTS @ WEIGHT.T).softmax(-1)
    replaced = least((WEIGHT[LABELS] - p @ WEIGHT).abs(), 0.5)
    changed = torch.where(replaced, batch.draws["filling"], INPUTS)
    free = WEIGHT.clone().requires_grad_()
    (expected,) = torch.autograd.grad(STRENGTH * divergence(INPUTS @ free.T, changed @ free.T).mean(), free)
    torch.testing.assert_close(gradient, expected)


def test_the_divergence_is_torchs():
    a, b = (torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    expected = F.kl_div(b.log_softmax(1), a.softmax(1), reduction="none").sum(1)
    torch.testing.assert_close(divergence(a, b), expected)
    assert divergence(a, a + 3).abs().max() < 1e-12


@pytest.mark.parametrize(("share", "count"), [(0.01, 1), (0.4, 2), (0.5, 2), (1.0, 5)])
def test_a_share_of_the_features_is_replaced_and_at_least_a_feature(share, count):
    values = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
    chosen = least(values, share)
    assert (chosen.sum(1) == count).all()
    assert (values.masked_fill(~chosen, -1).amax(1) < values.masked_fill(chosen, 2).amin(1)).all()


def test_fillings_are_between_an_inputs_least_and_greatest_feature():
    filling = drawn(SaliencyGuided(), BATCH._replace(inputs=INPUTS + 3)).draws["filling"]
    low, high = (INPUTS + 3).amin(1, keepdim=True), (INPUTS + 3).amax(1, keepdim=True)
    assert ((filling >= low) & (filling <= high)).all()


def test_the_method_never_hears_of_masks_or_shortcuts():
    batch = drawn(SaliencyGuided())
    other = batch._replace(masks=~batch.masks, shortcuts=batch.shortcuts + 1)
    assert torch.equal(
        torch.stack(SaliencyGuided().terms(NET, batch, STRENGTH)),
        torch.stack(SaliencyGuided().terms(NET, other, STRENGTH)),
    )
