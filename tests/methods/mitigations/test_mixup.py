from __future__ import annotations

import pytest
import torch
from rrrbench.methods.mitigations.mixup import Mixup, beta
from small import small_dataset, small_net_and_batch
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)


def test_the_mixed_error_is_the_cross_entropy_with_the_mixed_label():
    net, batch = small_net_and_batch()
    batch = Mixup(alpha=1.0).augment(batch, 3, torch.Generator().manual_seed(0))
    share, partners = batch.draws["share"][:, None], batch.draws["partner_labels"]
    target = share * F.one_hot(batch.labels, 3) + (1 - share) * F.one_hot(partners, 3)
    expected = -(target * net(batch.draws["mixed"]).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(Mixup().terms(net, batch, STRENGTH).right_reason, STRENGTH * expected)


def test_inputs_are_mixed_with_the_partner_by_the_share():
    _, batch = small_net_and_batch()
    draws = Mixup(alpha=1.0).augment(batch, 3, torch.Generator().manual_seed(0)).draws
    for n, (mixed, share) in enumerate(zip(draws["mixed"], draws["share"], strict=True)):
        mixtures = share * batch.inputs[n] + (1 - share) * batch.inputs
        (partner,) = (mixtures - mixed).flatten(1).abs().amax(1).lt(1e-12).nonzero()[:, 0]
        assert partner != n
        assert draws["partner_labels"][n] == batch.labels[partner]


def test_an_input_without_a_partner_counts_0():
    net, batch = small_net_and_batch()
    batch = Mixup().augment(batch, 3, torch.Generator().manual_seed(0))
    none = batch._replace(draws={**batch.draws, "paired": torch.zeros(6, dtype=torch.bool)})
    assert Mixup().terms(net, none, STRENGTH).right_reason.item() == 0


@pytest.mark.parametrize("alpha", [0.2, 2.0])
def test_shares_have_the_mean_and_the_variance_of_beta(alpha):
    shares = beta(alpha, 20000, torch.Generator().manual_seed(0))
    assert shares.mean().item() == pytest.approx(0.5, abs=0.02)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_draws_depend_on_the_generator_alone():
    batch = small_dataset(correlation=0.5).train.batch()
    first, again, other = (Mixup().augment(batch, 3, torch.Generator().manual_seed(seed)).draws for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["mixed"], other["mixed"])
