"""DiCE, DiVE, xGEM and Latent-CF where their answers can be worked out."""

import pytest
import torch
from rrrbench.datasets.registry import BadParameters
from rrrbench.methods.explainers.counterfactual.base import Explained, LatentSpace, counterfactuals
from rrrbench.methods.explainers.counterfactual.dice import Dice, deviation, distance
from rrrbench.methods.explainers.counterfactual.dive import Dive, clusters, fisher, members, overlap
from rrrbench.methods.explainers.counterfactual.lcf import LCF
from toy import SHORTCUT, WEIGHT, Classifier, Decoder, Z, asked, batch, explained, space


def test_dice_s_unit_is_the_mad_and_never_zero():
    latents = torch.tensor([[0.0, 7.0], [1.0, 7.0], [5.0, 7.0]])
    assert deviation(latents).tolist() == [1.0, 1.0]  # |0 - 1|, |1 - 1|, |5 - 1| -> 1; a constant -> 1
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0])
    assert distance(one, other, torch.tensor([2.0, 1.0])).item() == pytest.approx((2 / 2 + 1 / 1) / 2)


def test_dice_s_hinge_wants_log_odds_of_one():
    """Without the other terms it stops where log-odds reach 1: a hinge on log-odds, not on the largest logit."""
    found, flips = explained(Dice(proximity_weight=0, diversity_weight=0, num_iters=200))
    odds = (found @ WEIGHT).abs()
    assert flips.all()
    assert (odds > 0.9).all()


@pytest.mark.long
def test_dice_s_diversity_spreads_and_its_proximity_gathers():
    def spread(**weights):
        found, _ = explained(Dice(num_iters=100, **weights))
        return torch.cdist(found, found, p=1).mean().item()

    assert spread(proximity_weight=0, diversity_weight=5) > 1.1 * spread(proximity_weight=0, diversity_weight=0)
    assert spread(proximity_weight=5, diversity_weight=0) < 0.8 * spread(proximity_weight=0, diversity_weight=0)


@pytest.mark.parametrize("n", [40, 512, 1030])
def test_dive_s_fisher_information_is_of_all_training_inputs(n):
    """bex kept the last chunk only, and failed below 512. By hand: mean p (1 - p) w w^T for linear log-odds."""
    latents = torch.randn(n, Z, generator=torch.Generator().manual_seed(n))
    p = (latents @ WEIGHT).sigmoid()
    expected = (p * (1 - p)).mean() * torch.outer(WEIGHT, WEIGHT)
    torch.testing.assert_close(fisher(latents, Classifier(), Decoder()), expected)


def test_dive_s_fisher_is_of_the_log_likelihood():
    """sum_k p_k (d log p_k)(d log p_k)^T, computed as it is defined, on a classifier that is not linear."""

    class Curved(Classifier):
        def forward(self, images):
            return super().forward(images.tanh())

    latents, classifier = batch(7), Curved()
    expected = torch.zeros(Z, Z)
    for row in latents:
        point = row[None].clone().requires_grad_()
        log_p = classifier(Decoder()(point)).log_softmax(1)[0]
        for k in range(2):
            (gradient,) = torch.autograd.grad(log_p[k], point, retain_graph=True)
            expected += log_p[k].exp().detach() * torch.outer(gradient[0], gradient[0]) / len(latents)
    torch.testing.assert_close(fisher(latents, classifier, Decoder()), expected)


def free(method: str, n: int) -> torch.Tensor:
    explainer = Dive(num_explanations=n, method=method)
    return explainer.free(asked(explainer))


def test_dive_s_methods_confine_as_they_say():
    """|w| falls 3, 0, 1, and the rest are 0: that is the Fisher diagonal's order."""
    assert free("none", 3).all()
    assert (~free("fisher_range", 3)).nonzero().tolist() == [[1, 3], [2, 0], [2, 3]]
    chunk = free("fisher_chunk", 3)
    assert (~chunk).sum(1).tolist() == [2, 2, 2]
    assert (~chunk[0]).nonzero().flatten().tolist() == [0, 3]
    assert ((~free("random", 3)).sum(0) == 1).all(), "each latent is frozen once"
    spectral = free("fisher_spectral", 3)
    assert (spectral.sum(0) == 1).all()
    assert spectral.any(1).all()
    assert torch.equal(free("fisher_spectral_inv", 3), ~spectral)


def test_dive_s_clusters_bear_a_product_that_was_rounded_differently_from_its_transpose():
    rounded = torch.eye(6) + 0.1
    rounded[0, 1] += 1e-5  # sklearn warns of it, and a warning is an error here
    assert len(clusters(rounded, 2)) == 6


def test_dive_s_clusters_hold_together_what_matters_together():
    information = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3), torch.ones(1, 1))
    found = clusters(information, 3)
    assert len({*found[:2].tolist()}) == len({*found[2:5].tolist()}) == 1
    assert len(found.unique()) == 3
    assert members(found, 4).shape == (4, 6)
    assert torch.equal(members(found, 4)[3], members(found, 4)[0])


@pytest.mark.parametrize("method", ["fisher_spectral", "fisher_spectral_inv", "fisher_chunk", "fisher_range", "random"])
def test_dive_moves_no_frozen_latent(method):
    latents, explainer = batch(), Dive(num_explanations=3, method=method)
    found, _ = explained(explainer, latents)
    frozen = ~free(method, 3)
    moved = found != latents[:, None]
    if method == "random":  # drawn once a batch, before anything else
        assert ((~moved).sum(2) >= 2).all()
    else:
        assert not (moved & frozen).any()


def test_dive_s_overlap_by_hand():
    change = torch.tensor([[[1.0, 0.0], [-2.0, 0.0], [0.0, 3.0]]])  # cos^2: 1, 0, 0
    assert overlap(change).item() == pytest.approx(2 / 6)
    assert overlap(change[:, :1]).item() == 0


def test_dive_s_lasso_and_xgem_s_reconstruction_keep_the_change_small():
    latents = batch()

    def size(name, **parameters):
        return (explained(name, latents, **parameters)[0] - latents[:, None]).abs().sum().item()

    assert size("dive", lasso_weight=1, method="none") < 0.5 * size("dive", lasso_weight=0, method="none")
    assert size("xgem", reconstruction_weight=1) < 0.5 * size("xgem", reconstruction_weight=0)


def test_dive_s_information_is_that_of_the_classifier_asked_about():
    """One explainer, two classifiers, the first again: |w| falls 3, 0, 1 in the first and 2, 5, 4 in the second."""
    explainer = Dive(method="fisher_range", num_explanations=2)
    for classifier, frozen in ((Classifier(), 3), (Classifier(WEIGHT.flip(0)), 2), (Classifier(), 3)):
        prepared = explainer.prepare(Explained(classifier, Decoder(), space()))
        assert (~prepared).nonzero().tolist() == [[1, frozen]]


def test_lcf_goes_on_until_the_prediction_is_another():
    """bex's default tolerance lets it stop at a probability of 0.6: 5 % flipped."""
    _, flips = explained(LCF(num_explanations=2), batch(50))
    assert flips.all()


def test_lcf_stops_there_and_goes_as_far_as_p_where_it_is_told_to():
    latents = batch(20)
    near, _ = explained(LCF(num_explanations=1, num_iters=300), latents)
    far, _ = explained(LCF(num_explanations=1, num_iters=300, tolerance=0.01), latents)
    predicted = (latents @ WEIGHT > 0)[:, None]
    q = {name: ((2 * predicted - 1) * (found @ WEIGHT)).sigmoid() for name, found in (("near", near), ("far", far))}
    assert ((q["near"] < 0.5) & (q["near"] > 0.25)).all()
    assert ((q["far"] - 0.1).abs() <= 0.0101).all()


def test_lcf_s_steps_do_not_shrink_with_the_number_of_inputs_and_explanations():
    latents = batch(1)
    alone, _ = explained(LCF(num_explanations=1, num_iters=1), latents)
    many, _ = explained(LCF(num_explanations=8, num_iters=1), latents.repeat(30, 1))
    assert (many - latents).norm(dim=2).min() > 0.8 * (alone - latents).norm()


def test_lcf_leaves_a_sure_classifier_s_prediction():
    """At log-odds of 30 a probability has no gradient left in float32."""
    latents = batch(4)
    _, flips = explained(LCF(), latents, Classifier(30 * WEIGHT / WEIGHT.norm()))
    assert flips.all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "lcf", "p": 0.7}, "p = 0.7: .* less than 0.5"),
        ({"name": "dive", "method": "fishy"}, "method = 'fishy': .*'fisher_spectral'"),
        ({"name": "dice", "lr": 0}, "lr = 0: .* greater than 0"),
        ({"name": "dive", "lasso_weight": -1}, "lasso_weight = -1: .* greater than or equal to 0"),
        ({"name": "dice", "step": 1}, "'step' is not a parameter"),
    ],
)
def test_arguments_out_of_range_are_refused(spec, message):
    with pytest.raises(BadParameters, match=message):
        counterfactuals.resolve(spec)


def test_the_space_s_size_does_not_matter_to_them():
    small = LatentSpace(space().latents[:3], SHORTCUT, space().class_shortcuts)
    for name in ("dice", "dive"):
        assert explained(name, known=small)[0].isfinite().all()
