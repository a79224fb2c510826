from __future__ import annotations

import math

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.contrastive_debiasing import ContrastiveDebiasing
from rrrbench.methods.network import Net
from small import Linear, bound, small_dataset
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
COINS = torch.Generator().manual_seed(0)
NET = bound(Linear(torch.randn(3, 5, dtype=torch.float64, generator=COINS)))
INPUTS = torch.rand(4, 5, dtype=torch.float64, generator=COINS)
DRAWS = {
    "positives": torch.rand(4, 2, 5, dtype=torch.float64, generator=COINS),
    "negatives": torch.rand(4, 2, 5, dtype=torch.float64, generator=COINS),
    "paired": torch.tensor([True, True, False, True]),
}
LABELS = torch.tensor([0, 1, 2, 0])
BATCH = Batch(INPUTS, LABELS, torch.zeros(4, 5, dtype=torch.bool), LABELS, DRAWS)


def right_reason(batch: Batch, net: Net = NET, temperature: float = 0.5) -> torch.Tensor:
    return ContrastiveDebiasing(pairs=2, temperature=temperature).terms(net, batch, STRENGTH).right_reason


def changed(name: str, values: torch.Tensor) -> Batch:
    return BATCH._replace(draws={**DRAWS, name: values})


def small_batch() -> Batch:
    return small_dataset(correlation=0.5).train.batch()


def test_the_term_is_equation_5_with_every_positive_a_target():
    """Written out with plain numbers; the features of a linear network are its inputs."""
    total = 0.0
    for n in (0, 1, 3):  # input 2 has no pairs, and counts 0 in a mean over 4

        def similarity(other, n=n) -> float:
            return math.exp(F.cosine_similarity(INPUTS[n], other, dim=0).item() / 0.5)

        positives, negatives = ([similarity(other) for other in DRAWS[name][n]] for name in ("positives", "negatives"))
        everything = sum(positives) + sum(negatives)
        total += sum(-math.log(one / everything) for one in positives) / 2
    torch.testing.assert_close(right_reason(BATCH).item(), 0.7 * total / 4)


def test_every_positive_pulls_and_every_negative_pushes():
    for name, sign in (("positives", -1), ("negatives", 1)):
        others = DRAWS[name].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(right_reason(changed(name, others)), others)
        towards = F.normalize(INPUTS, dim=-1)[:, None] - F.normalize(others.detach(), dim=-1)
        slopes = sign * (gradient * towards).sum(-1)
        assert (slopes[DRAWS["paired"]] > 0).all()
        assert (slopes[~DRAWS["paired"]] == 0).all()


def test_the_order_of_positives_does_not_matter_and_neither_does_the_size_of_features():
    torch.testing.assert_close(right_reason(changed("positives", DRAWS["positives"].flip(1))), right_reason(BATCH))
    torch.testing.assert_close(right_reason(changed("negatives", 10 * DRAWS["negatives"])), right_reason(BATCH))


def test_positives_share_the_label_alone_and_negatives_the_shortcut_alone():
    batch = small_batch()
    drawn = ContrastiveDebiasing(pairs=5).augment(batch, 3, torch.Generator().manual_seed(0)).draws
    paired = drawn["paired"]
    assert 0 < paired.sum() <= 24
    for name, same_label in (("positives", True), ("negatives", False)):
        same = (drawn[name].unsqueeze(2) == batch.inputs).flatten(3).all(3)  # (batch, pairs, batch)
        other = same.long().argmax(2)
        assert ((batch.labels[other] == batch.labels[:, None]) == same_label)[paired].all()
        assert ((batch.shortcuts[other] == batch.shortcuts[:, None]) != same_label)[paired].all()


def test_an_input_without_a_positive_or_a_negative_is_left_out():
    labels, shortcuts = torch.tensor([0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 1, 2])
    batch = Batch(torch.rand(5, 4), labels, torch.zeros(5, 4, dtype=torch.bool), shortcuts)
    drawn = ContrastiveDebiasing().augment(batch, 3, torch.Generator().manual_seed(0)).draws
    # input 0 has a positive and no negative, input 1 both, 2 and 3 a negative and no positive, 4 neither
    assert drawn["paired"].tolist() == [False, True, False, False, False]


def test_draws_depend_on_the_generator_alone():
    first, again, other = (
        ContrastiveDebiasing().augment(small_batch(), 3, torch.Generator().manual_seed(seed)).draws
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["positives"], other["positives"])


def test_features_of_zeros_have_no_gradient_that_is_not_a_number():
    inputs = torch.zeros_like(INPUTS).requires_grad_()
    value = right_reason(BATCH._replace(inputs=inputs), temperature=0.1)
    (gradient,) = torch.autograd.grad(value, inputs)
    assert value.item() == pytest.approx(0.7 * math.log(4) * 3 / 4)  # all similarities are 0: -log 1/4
    assert torch.isfinite(gradient).all()
