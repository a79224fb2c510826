from __future__ import annotations

import numpy as np
import pytest
import torch
from rrrbench.methods.mitigations.afr import AFR
from torch.nn import functional as F


def test_mu_sums_to_1_and_counts_what_stage_1_got_wrong():
    logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1, 1])
    mu = AFR(gamma=4.0).importance(logits, labels)
    p = torch.tensor([1 / (1 + np.exp(-2)), 1 / (1 + np.exp(2)), 1 / (1 + np.exp(-1)), 0.5])
    by_hand = torch.exp(-4 * p) / torch.tensor([1, 3, 3, 3])
    torch.testing.assert_close(mu, by_hand / by_hand.sum())
    torch.testing.assert_close(mu.sum().item(), 1.0)
    assert mu.argmax() == 1  # the one that is wrong


def test_without_gamma_mu_is_the_same_for_every_class():
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2])
    mu = AFR(gamma=0.0).importance(torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator()), labels)
    shares = torch.zeros(3, dtype=torch.float64).index_add(0, labels, mu)
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3, dtype=torch.float64))


def second_stage(afr: AFR, scale: float = 1.0):
    """The head before and after, from random features."""
    coins = torch.Generator().manual_seed(0)
    hidden = scale * torch.randn(20, 4, dtype=torch.float64, generator=coins)
    labels = torch.arange(20) % 3
    start = torch.randn(3, 4, dtype=torch.float64, generator=coins), torch.zeros(3, dtype=torch.float64)
    return hidden, labels, start, [torch.from_numpy(part) for part in afr.second_stage(hidden, labels, *start)]


@pytest.mark.parametrize(("scale", "clipped"), [(0.1, False), (10.0, True)])
def test_one_step_of_afr_by_hand(scale, clipped):
    """dL/dW = sum_n mu_n (p_n - one-hot_n) h_n', clipped to a norm of 1, times 0.01; the anchor has no pull yet."""
    afr = AFR(steps=1, anchor=3.0)
    hidden, labels, (weight, bias), after = second_stage(afr, scale)
    logits = hidden @ weight.T + bias
    slopes = afr.importance(logits, labels)[:, None] * (logits.softmax(-1) - F.one_hot(labels))
    gradient = [slopes.T @ hidden, slopes.sum(0)]
    norm = torch.cat([part.flatten() for part in gradient]).norm()
    assert (norm > 1) == clipped
    for before, now, part in zip((weight, bias), after, gradient, strict=True):
        torch.testing.assert_close(now, before - 0.01 * part / norm.clamp(min=1), rtol=1e-5, atol=1e-8)


def test_afrs_anchor_holds_the_head_back():
    def moved(anchor: float) -> float:
        _, _, start, after = second_stage(AFR(steps=300, anchor=anchor))
        return sum((now - before).square().sum().item() for now, before in zip(after, start, strict=True))

    assert moved(10.0) < 0.1 * moved(0.0)


def test_afr_lowers_the_weighted_error():
    afr = AFR()
    hidden, labels, start, after = second_stage(afr)
    mu = afr.importance(hidden @ start[0].T, labels)
    before, now = (
        (mu * F.cross_entropy(F.linear(hidden, *head), labels, reduction="none")).sum() for head in (start, after)
    )
    assert now < before
