from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.irm import IRM, scale_derivative
from small import Linear, bound, small_trainer
from torch.func import grad, vmap
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
LOGITS = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 3, 1, 2, 2, 0])


def batch_in(environment: list[int]) -> Batch:
    """Inputs whose logits are themselves, in these environments."""
    environment, n = torch.tensor(environment), len(environment)
    counts = environment.bincount()
    shares = n / counts[environment].double()
    masks = torch.zeros(n, 4, dtype=torch.bool)
    given = {"environment": environment, "inverse_shares": shares}
    return Batch(LOGITS[:n], LABELS[:n], masks, LABELS[:n], given)


def drawn(batch: Batch, seed: int = 0) -> Batch:
    return IRM().augment(batch, 4, torch.Generator().manual_seed(seed))


def penalty(batch: Batch) -> torch.Tensor:
    return IRM().terms(bound(Linear(torch.eye(4, dtype=torch.float64))), batch, STRENGTH).right_reason


def test_the_scale_derivative_equals_autograd_and_finite_differences():
    def error(scale, logits, label):
        return F.cross_entropy(scale * logits[None], label[None])

    one = torch.tensor(1.0, dtype=torch.float64)
    by_autograd = vmap(grad(error), in_dims=(None, 0, 0))(one, LOGITS, LABELS)
    torch.testing.assert_close(scale_derivative(LOGITS, LABELS), by_autograd)
    up, down = (F.cross_entropy((1 + s) * LOGITS, LABELS, reduction="none") for s in (1e-6, -1e-6))
    torch.testing.assert_close(scale_derivative(LOGITS, LABELS), (up - down) / 2e-6, rtol=1e-6, atol=1e-9)


def test_the_penalty_of_given_partners_by_hand():
    batch = batch_in([0, 1, 0, 0])
    partner = torch.tensor([2, 1, 2, 0])
    draws = {**batch.draws, "partners": batch.inputs[partner], "partner_labels": batch.labels[partner]}
    d = scale_derivative(LOGITS, LABELS)
    expected = STRENGTH * ((d[0] * d[2] + d[2] * d[2] + d[3] * d[0]) / 3 + d[1] * d[1]) / 2
    torch.testing.assert_close(penalty(batch._replace(draws=draws)), expected)


@pytest.mark.long
def test_the_mean_penalty_is_the_mean_squared_derivative_of_the_environments():
    """600 draws, whose mean has a standard error that is estimated from them."""
    batch = batch_in([0, 0, 0, 0, 1, 1])
    d = scale_derivative(LOGITS, LABELS)
    expected = STRENGTH * (d[:4].mean() ** 2 + d[4:].mean() ** 2) / 2
    draws = torch.stack([penalty(drawn(batch, seed)) for seed in range(600)]).detach()
    assert (draws.mean() - expected).abs() < 4 * draws.std() / 600**0.5


def test_partners_are_of_the_same_environment():
    batch, found = batch_in([0, 0, 1, 1, 1, 0]), set()
    for seed in range(40):
        draws = drawn(batch, seed).draws
        partner = (draws["partners"][:, None] == batch.inputs).all(2).long().argmax(1)
        assert (batch.draws["environment"][partner] == batch.draws["environment"]).all()
        assert torch.equal(draws["partner_labels"], LABELS[partner])
        found |= set(enumerate(partner.tolist()))
    assert len(found) == 18  # every one of 3 for each of 6


@pytest.mark.usefixtures("shapes_unchecked")
def test_the_environments_are_the_seeds_own_minority_and_the_others(monkeypatch):
    trainer = small_trainer(seeds=(0, 1), correlation=0.5)
    monkeypatch.setattr(trainer, "train", lambda mitigation, given: given)
    given = IRM().fit(trainer)
    for row, draw in enumerate(trainer.draws):
        against = draw.train.shortcuts != draw.train.labels  # class k carries value k here
        assert torch.equal(given["environment"][row].bool(), against)
        torch.testing.assert_close(given["inverse_shares"][row][against].sum().item(), 24.0)
        torch.testing.assert_close(given["inverse_shares"][row][~against].sum().item(), 24.0)
    assert not torch.equal(given["environment"][0], given["environment"][1])


@pytest.mark.parametrize("size", [1, 6])
def test_draws_depend_on_the_generator_alone(size):
    batch = batch_in([0, 1, 0, 1, 0, 1][:size])
    first, second = drawn(batch), drawn(batch)
    assert all(torch.equal(first.draws[name], second.draws[name]) for name in first.draws)
