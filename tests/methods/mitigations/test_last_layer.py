"""A head in place of the trained one: dfr, afr, and what they share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.datasets.base import generator
from rrrbench.methods.groups import groups
from rrrbench.methods.last_layer import features_of_run, head_of, held_out, logistic_regression, with_new_heads
from rrrbench.methods.mitigations.afr import AFR
from rrrbench.methods.mitigations.dfr import DFR, balanced_subset
from rrrbench.methods.mitigations.erm import ERM
from small import small_dataset, small_trainer
from torch.nn import functional as F

RNG = np.random.default_rng(0)
HIDDEN, CLASSES = RNG.normal(loc=5.0, scale=(0.1, 1.0, 30.0), size=(60, 3)), RNG.integers(0, 3, 60)


def trainer(seeds=(0, 1), n: int = 90, **settings) -> Trainer:
    draws = [small_dataset(seed, n=n, correlation=0.5) for seed in seeds]
    return small_trainer((0.0,), draws=draws, **settings)


def of_run(fitted, name: str, row: int = 0) -> torch.Tensor:
    return fitted.parameters[name][row, 0]


def test_a_share_of_the_training_inputs_is_held_out_drawn_by_the_seed():
    out = held_out(trainer((0, 1)), 0.2)
    assert out.sum(1).tolist() == [18, 18]
    assert not torch.equal(out[0], out[1])
    assert torch.equal(held_out(trainer((1,)), 0.2)[0], out[1])


@pytest.mark.parametrize("shown", [(0, 1, 2), (0, 2), (1, 2)], ids=str)
def test_a_head_is_the_regression_with_its_standardisation_folded_in(shown):
    rows = np.isin(CLASSES, shown)
    model = logistic_regression().fit(HIDDEN[rows], CLASSES[rows])
    weight, bias = head_of(model, 3)
    probabilities = F.softmax(torch.from_numpy(HIDDEN @ weight.T + bias), -1).numpy()
    np.testing.assert_allclose(probabilities[:, shown], model.predict_proba(HIDDEN), atol=1e-10)
    assert probabilities.sum(1) == pytest.approx(1)


def test_a_feature_that_never_changes_has_no_weight():
    weight, bias = head_of(logistic_regression().fit(np.c_[HIDDEN, np.full(60, 7.0)], CLASSES), 3)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()
    assert (weight[:, 3] == 0).all()


@pytest.mark.parametrize("mitigation", [DFR(refits=1), AFR(steps=2)], ids=lambda m: m.name)
def test_the_first_stage_learns_nothing_from_what_is_held_out(mitigation):
    fair = trainer()
    out = held_out(fair, mitigation.share)
    draws = []
    for row, draw in enumerate(fair.draws):
        labels = torch.where(out[row], (draw.train.labels + 1) % 3, draw.train.labels)
        draws.append(replace(draw, train=replace(draw.train, labels=labels)))
    lied_to = small_trainer((0.0,), draws=draws)
    honest, misled = mitigation.fit(fair).parameters, mitigation.fit(lied_to).parameters
    assert all(torch.equal(honest[name], misled[name]) for name in honest if not name.startswith("head."))
    assert not torch.equal(honest["head.weight"], misled["head.weight"])


@pytest.mark.parametrize("mitigation", [DFR(refits=1), AFR(steps=2)], ids=lambda m: m.name)
def test_the_second_stage_sees_nothing_but_what_is_held_out(mitigation):
    """Given the first stage's features, other labels of the inputs that it kept change no head."""
    heads = []
    for lie in (0, 1):
        fair = trainer()
        fitted = ERM().fit(fair)
        out = held_out(fair, mitigation.share)
        fair.draws = [
            replace(
                draw,
                train=replace(
                    draw.train, labels=torch.where(out[row], draw.train.labels, (draw.train.labels + lie) % 3)
                ),
            )
            for row, draw in enumerate(fair.draws)
        ]
        fair.train = lambda mitigation, given, fitted=fitted: fitted
        heads.append(mitigation.fit(fair).parameters["head.weight"])
    assert torch.equal(*heads)
    assert not torch.equal(heads[0], fitted.parameters["head.weight"])


def test_dfrs_head_is_scikit_learns_on_balanced_held_out_inputs():
    trained = trainer()
    fitted = DFR(refits=1).fit(trained)
    for row, draw in enumerate(trained.draws):
        out = held_out(trained, 0.2)[row]
        labels = draw.train.labels[out]
        group = groups(labels, draw.train.shortcuts[out])[0].numpy()
        subset = balanced_subset(group, generator(draw.seed, "dfr"))
        hidden = features_of_run(trained, fitted, row, 0)[out.numpy()]
        model = logistic_regression().fit(hidden[subset], labels.numpy()[subset])
        logits = F.linear(
            torch.from_numpy(hidden), of_run(fitted, "head.weight", row), of_run(fitted, "head.bias", row)
        )
        np.testing.assert_allclose(F.softmax(logits, -1)[:, model.classes_], model.predict_proba(hidden), atol=1e-7)


def test_dfr_averages_the_heads_of_its_refits():
    trained = trainer((0,))
    draw, out = trained.draws[0], held_out(trained, 0.2)[0]
    fitted = DFR(refits=3).fit(trained)
    labels, hidden = draw.train.labels[out].numpy(), features_of_run(trained, fitted, 0, 0)[out.numpy()]
    group, rng = groups(draw.train.labels[out], draw.train.shortcuts[out])[0].numpy(), generator(draw.seed, "dfr")
    subsets = [balanced_subset(group, rng) for _ in range(3)]
    weights = [head_of(logistic_regression().fit(hidden[s], labels[s]), 3)[0] for s in subsets]
    np.testing.assert_allclose(of_run(fitted, "head.weight"), np.mean(weights, axis=0), atol=1e-10)
    assert any(sorted(subsets[0]) != sorted(other) for other in subsets[1:])


def test_a_balanced_subset_has_every_group_as_often_as_the_smallest():
    group = np.array([0] * 10 + [1] * 3 + [2] * 7)
    subset = balanced_subset(group, np.random.default_rng(0))
    assert np.bincount(group[subset]).tolist() == [3, 3, 3]
    assert len(set(subset)) == 9


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


def test_a_run_whose_features_are_not_finite_is_diverged_and_its_neighbour_is_not():
    trained = trainer()
    fitted = ERM().fit(trained)
    first = next(name for name in fitted.parameters if name.startswith("features."))
    fitted.parameters[first][1] = torch.nan
    renewed = with_new_heads(trained, fitted, lambda row, column, hidden: (np.zeros((3, 5)), np.zeros(3)))
    assert renewed.diverged.tolist() == [[False], [True]]
    assert of_run(renewed, "head.bias", 1).isnan().all()
    assert (of_run(renewed, "head.weight", 0) == 0).all()
