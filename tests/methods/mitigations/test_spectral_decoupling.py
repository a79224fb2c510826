from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, NET, STRENGTH, WEIGHT, right_reason
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.spectral_decoupling import SpectralDecoupling
from small import Linear, bound


def test_the_penalty_is_the_mean_squared_logit_of_all_classes():
    expected = STRENGTH * (INPUTS @ WEIGHT.T).square().sum() / (3 * 4)
    torch.testing.assert_close(right_reason(SpectralDecoupling()), expected)


def test_its_gradient_equals_finite_differences():
    (gradient,) = torch.autograd.grad(right_reason(SpectralDecoupling()), NET.module.head.weight)
    step = torch.zeros_like(WEIGHT)
    step[1, 2] = 1e-6

    def penalty(weight):
        return SpectralDecoupling().terms(bound(Linear(weight)), BATCH, STRENGTH).right_reason.item()

    slope = (penalty(WEIGHT + step) - penalty(WEIGHT - step)) / 2e-6
    torch.testing.assert_close(gradient[1, 2].item(), slope, rtol=1e-6, atol=1e-9)


def test_every_logit_counts_and_not_the_labels_alone():
    """Some released code penalises the true class's logit alone: the penalty would then depend on the labels."""
    other = BATCH._replace(labels=(BATCH.labels + 1) % 4)
    torch.testing.assert_close(right_reason(SpectralDecoupling(), other), right_reason(SpectralDecoupling()))


def test_the_papers_lambda_is_half_of_the_strength():
    """lambda / 2 z^2 of a single logit z, written as the pair (-z / 2, z / 2)."""
    z, strength = torch.tensor([[3.0], [-0.5]], dtype=torch.float64), torch.tensor(0.8, dtype=torch.float64)
    labels = torch.tensor([0, 1])
    batch = Batch(z, labels, torch.zeros(2, 1, dtype=torch.bool), labels)
    net = bound(Linear(torch.tensor([[-0.5], [0.5]], dtype=torch.float64)))
    penalty = SpectralDecoupling().terms(net, batch, strength).right_reason
    torch.testing.assert_close(penalty, (strength / 2) / 2 * z.square().mean())
