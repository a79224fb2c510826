from __future__ import annotations

import math

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.distribution_matching import DISTANCES, DistributionMatching, coral, dcor, mmd
from small import Linear, bound, small_dataset

COINS = torch.Generator().manual_seed(0)
S, T = (torch.randn(5, 4, 3, dtype=torch.float64, generator=COINS) for _ in range(2))
EACH = pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)


def test_coral_written_out():
    for value, s, t in zip(coral(S, T), S, T, strict=True):
        means, covariances = (s.mean(0) - t.mean(0)).square().mean(), (s.T.cov() - t.T.cov()).square().mean()
        torch.testing.assert_close(value, means + covariances)


def test_mmd_by_hand_of_single_numbers():
    """Samples {0, 0} and {1, 1}: k(S, S) = k(T, T) = 7, k(S, T) = the sum of the kernels at 1."""
    s, t = torch.zeros(1, 2, 1, dtype=torch.float64), torch.ones(1, 2, 1, dtype=torch.float64)
    expected = 14 - 2 * sum(math.exp(-(10.0**power)) for power in range(-3, 4))
    torch.testing.assert_close(mmd(s, t).item(), expected)


def test_dcor_is_1_where_features_tell_the_sample_and_nothing_else():
    s = torch.tensor([1.0, 2.0], dtype=torch.float64).expand(1, 4, 2)
    assert dcor(s, s + 3).item() == pytest.approx(1.0, abs=1e-5)


def test_dcor_written_out():
    """Szekely et al. 2007: dCov^2 = mean of A B, for each pair of inputs, with loops."""
    both = torch.cat((S[0], T[0]))
    n = len(both)

    def centred(points):
        d = torch.tensor([[(p - q).norm().item() for q in points] for p in points], dtype=torch.float64)
        return [[d[i, j] - d[i].mean() - d[:, j].mean() + d.mean() for j in range(n)] for i in range(n)]

    a, b = centred(both), centred(torch.tensor([[0.0]] * 4 + [[1.0]] * 4, dtype=torch.float64))

    def mean_product(x, y):
        return sum(x[i][j] * y[i][j] for i in range(n) for j in range(n)) / n**2

    expected = mean_product(a, b) / (mean_product(a, a) * mean_product(b, b)) ** 0.5
    torch.testing.assert_close(dcor(S, T)[0], expected, rtol=1e-5, atol=1e-8)


@EACH
def test_equal_samples_are_at_distance_0_with_a_finite_gradient(distance):
    """The distance correlation has a root at 0; features of zeros are what a dead network has."""
    for same in (S.clone().requires_grad_(), torch.zeros_like(S).requires_grad_()):
        value = distance(same, same.detach().flip(1))
        (gradient,) = torch.autograd.grad(value.sum(), same)
        assert value.abs().max() < 1e-6
        assert torch.isfinite(gradient).all()


@EACH
def test_no_distance_is_below_0(distance):
    """The unbiased MMD is, for every second pair of samples of one distribution."""
    a, b = (torch.randn(200, 3, 2, dtype=torch.float64, generator=COINS) for _ in range(2))
    assert (distance(a, b) > -1e-12).all()


@EACH
def test_the_order_within_and_of_the_samples_does_not_matter(distance):
    torch.testing.assert_close(distance(S.flip(1), T), distance(S, T))
    torch.testing.assert_close(distance(T, S), distance(S, T))


@EACH
def test_gradients_equal_finite_differences(distance):
    assert torch.autograd.gradcheck(distance, (S.clone().requires_grad_(), T.clone().requires_grad_()))


def test_dcor_alone_does_not_fall_when_features_shrink():
    assert torch.allclose(dcor(S / 10, T / 10), dcor(S, T), atol=1e-4)
    assert (coral(S / 10, T / 10) < coral(S, T) / 50).all()


def drawn(size: int = 3, seed: int = 0) -> tuple[Batch, dict]:
    batch = small_dataset(correlation=0.5).train.batch()
    mitigation = DistributionMatching(size=size)
    return batch, mitigation.augment(batch, 3, torch.Generator().manual_seed(seed)).draws


def test_samples_are_of_the_same_label_and_differ_in_the_shortcut():
    batch, draws = drawn(5)
    assert 0 < draws["matched"].sum() <= 24
    for name, alike, size in (("alike", True, 4), ("unlike", False, 5)):
        assert draws[name].shape[:2] == (24, size)
        index = (draws[name].unsqueeze(2) == batch.inputs).flatten(3).all(3).long().argmax(2)
        rows = draws["matched"] if not alike else slice(None)
        assert (batch.labels[index] == batch.labels[:, None])[rows].all()
        assert ((batch.shortcuts[index] == batch.shortcuts[:, None]) == alike)[rows].all()


def test_an_input_without_an_unlike_input_counts_0():
    labels, shortcuts = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 1, 1])
    inputs = torch.rand(4, 3, dtype=torch.float64, generator=COINS)
    batch = Batch(inputs, labels, torch.zeros(4, 3, dtype=torch.bool), shortcuts)
    mitigation = DistributionMatching(size=2)
    batch = mitigation.augment(batch, 2, torch.Generator().manual_seed(0))
    assert batch.draws["matched"].tolist() == [True, True, False, False]
    net = bound(Linear(torch.randn(2, 3, dtype=torch.float64, generator=COINS)))
    value = mitigation.terms(net, batch, torch.tensor(1.0, dtype=torch.float64)).right_reason
    mean_terms = sum(((inputs[0] - inputs[1]) ** 2).mean() for _ in range(2)) / 4  # no covariance: copies of one input
    torch.testing.assert_close(value, mean_terms)


def test_draws_depend_on_the_generator_alone():
    (_, first), (_, again), (_, other) = drawn(), drawn(), drawn(seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["alike"], other["alike"])


def test_the_published_strength_is_the_distances():
    assert [DistributionMatching(distance=name).published_strength for name in ("coral", "mmd", "dcor")] == [1, 1, 0.5]
