"""Growing spheres, StylEx, and the oracle where their answers can be worked out."""

import pytest
import torch
from rrrbench.datasets.registry import BadParameters
from rrrbench.methods.explainers.counterfactual.base import LatentSpace, counterfactuals
from rrrbench.methods.explainers.counterfactual.growing_spheres import GrowingSpheres, layer
from rrrbench.methods.explainers.counterfactual.informed_search import InformedSearch
from rrrbench.methods.explainers.counterfactual.stylex import Stylex
from toy import SHORTCUT, WEIGHT, Classifier, Z, batch, explained, space


def test_growing_spheres_ends_and_leaves_the_input_where_there_is_no_enemy():
    """bex's loop has no bound, and padded with what it had not found."""
    latents = batch()
    found, flips = explained("gs", latents, Classifier(torch.zeros(Z), bias=3.0))
    assert torch.equal(found, latents[:, None].expand_as(found))
    assert not flips.any()


def test_growing_spheres_finds_as_many_enemies_as_it_was_asked_for():
    _, flips = explained(GrowingSpheres(num_explanations=20, n_candidates=10), batch(20))
    assert flips.all()


def test_growing_spheres_undoes_what_is_not_needed():
    """Algorithm 2: the smallest change that is left is needed; those that went back were smaller."""
    latents = batch(10)
    found, flips = explained("gs", latents)
    assert flips.all()
    change = found - latents[:, None]
    assert (change == 0).any(2).double().mean() > 0.9
    smallest = change.abs().masked_fill(change == 0, torch.inf).argmin(2, keepdim=True)
    undone = latents[:, None] + change.scatter(2, smallest, 0)
    assert ((undone @ WEIGHT > 0) == (latents @ WEIGHT > 0)[:, None]).all()


def test_growing_spheres_finds_near_enemies():
    """The nearest point of the other side is |w.z| / |w| away: candidates are random, so twice that, and sparse."""
    latents = batch(30)
    found, _ = explained(GrowingSpheres(n_candidates=200), latents)
    nearest = (latents @ WEIGHT).abs() / WEIGHT.norm()
    assert ((found - latents[:, None]).norm(dim=2).min(1).values <= 2.5 * nearest + 0.1).double().mean() > 0.8


def test_growing_spheres_draws_uniformly_between_its_spheres():
    """In 6 dimensions a share r^6 of a ball is within radius r."""
    rng = torch.Generator().manual_seed(0)
    draws = torch.randn(1, 20000, Z, generator=rng), torch.rand(1, 20000, generator=rng)
    centre, one, two = torch.zeros(1, Z), torch.full((1,), 1.0), torch.full((1,), 2.0)
    ball = layer(centre, 0 * one, two, draws).norm(dim=2)
    assert (ball < 1.8).double().mean() == pytest.approx(0.9**6, abs=0.01)
    shell = layer(centre, one, two, draws).norm(dim=2)
    assert shell.min() >= 0.999
    assert shell.max() <= 2.001


def stylex_space(extreme=2.84):
    latents = torch.zeros(40, Z)
    latents[:, 3] = torch.linspace(-extreme, extreme, 40)
    latents[:, 0] = torch.linspace(extreme, -extreme, 40)
    return LatentSpace(latents, SHORTCUT, torch.zeros(2, 1, 1))


def test_stylex_adds_the_shift():
    """bex multiplied, so that 0 stayed 0: 0 + 0.8 (2.84 - 0) = 2.27."""
    latents = torch.zeros(1, Z)
    classifier = Classifier(torch.tensor([0.0, 0, 0, 1, 0, 0]), bias=-0.5)
    found, flips = explained(Stylex(num_explanations=1), latents, classifier, stylex_space())
    assert found[0, 0, 3].item() == pytest.approx(2.272)
    assert (found[0, 0] != 0).sum() == 1
    assert flips.all()


def test_stylex_takes_the_latents_in_the_order_of_what_they_gain():
    """bex's indices were off after the first. Order by |w| x range: 3, then 0; the rest gain nothing."""
    latents = torch.zeros(2, Z)
    found, _ = explained(Stylex(num_explanations=2), latents, Classifier(bias=-0.5), stylex_space())
    assert [row.nonzero().flatten().tolist() for row in found[0]] == [[3], [0]]


def test_stylex_reaches_each_class_by_its_own_shifts():
    latents = torch.zeros(2, Z)
    latents[1, 3] = 1.0
    found, flips = explained(Stylex(num_explanations=1), latents, Classifier(bias=-0.5), stylex_space())
    assert flips.all()
    assert found[0, 0, 3] > 0 > found[1, 0, 3]


def test_stylex_subset_adds_shifts_until_the_prediction_flips_and_then_no_more():
    """Log-odds start at -7 and gain 4.544 by latent 3, then 2.272 by 0; with -6 two are enough."""
    latents = torch.zeros(1, Z)

    def counts(bias, n=4):
        found, flips = explained(Stylex(num_explanations=n, strategy="subset"), latents,
                                 Classifier(bias=bias), stylex_space())  # fmt: skip
        return [int((row != 0).sum()) for row in found[0]], flips[0].tolist()

    assert counts(-6.0) == ([1, 2, 2, 2], [False, True, True, True])
    assert counts(-3.0) == ([1, 1, 1, 1], [True] * 4)


def test_stylex_explains_inputs_of_any_mixture_of_classes():
    one_class = batch(6)
    one_class = one_class[(one_class @ WEIGHT) > 0]
    assert explained("stylex", one_class)[0].isfinite().all()
    never = LatentSpace(space().latents, SHORTCUT, torch.zeros(2, 1, 1))
    assert explained("stylex", batch(), Classifier(torch.zeros(Z), bias=3.0), never)[0].isfinite().all()


def test_the_oracle_changes_the_shortcut_alone_to_values_of_the_other_class():
    latents = batch(20)
    found, _ = explained("is", latents)
    changed = found != latents[:, None]
    others = [z for z in range(Z) if z != 3]
    assert not changed[..., others].any()
    predicted = (latents @ WEIGHT > 0).long()
    values = space().class_shortcuts[1 - predicted].squeeze(2)
    assert (found[..., 3][:, :, None] == values[:, None]).any(2).all()


def test_the_oracle_gives_every_value_that_flips_and_no_other_where_one_does():
    latents = torch.zeros(1, Z)  # log-odds 2 x shortcut + 0.9: class 1; -2, -1 flip it, -0.1 does not
    found, flips = explained(InformedSearch(num_explanations=4), latents, Classifier(bias=0.9))
    assert flips.all()
    assert found[0, :, 3].tolist() == [-2.0, -1.0, -2.0, -1.0]
    hopeless, flips = explained(InformedSearch(num_explanations=2), latents, Classifier(bias=9.0))
    assert not flips.any()
    assert hopeless[0, :, 3].tolist() == [-2.0, -2.0]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "stylex", "strategy": "all"}, "strategy = 'all'"),
        ({"name": "gs", "decrease_radius": 1}, "decrease_radius = 1: .* greater than 1"),
        ({"name": "gs", "first_radius": 0}, "first_radius = 0: .* greater than 0"),
    ],
)
def test_arguments_out_of_range_are_refused(spec, message):
    with pytest.raises(BadParameters, match=message):
        counterfactuals.resolve(spec)
