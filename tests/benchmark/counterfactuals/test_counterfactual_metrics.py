"""Metrics on explanations made by hand, where their values can be counted. Latents in raw units."""

import math
from functools import cache

import pytest
import torch
from rrrbench.benchmark.counterfactuals.metrics import (
    METRICS,
    Verdicts,
    bounded,
    cardinality,
    joined,
    judged,
    scores,
)
from rrrbench.datasets.glyphs import CHARACTERS, CORE, NUISANCE, SHORTCUT, Renderer

A, B, C = (CHARACTERS.index(letter) for letter in "ABC")  # classes 0, 1, 0


@cache
def renderer():
    return Renderer(torch.zeros(11), torch.ones(11))


def place(character=A, font=0, nuisance=(0, 0, 0, 0, 0)):
    return torch.cat(
        [renderer().character_points[character], renderer().font_points[font], torch.tensor(nuisance).float()]
    )


def verdicts(before, *after, predicted=0):
    """Of one input; `after` are latents with their prediction."""
    explanations = torch.stack([latents for latents, _ in after])[None]
    answers = torch.tensor([[answer for _, answer in after]])
    return judged(before[None], explanations, torch.tensor([predicted]), answers, torch.tensor([True]), renderer())


def test_what_success_is():
    """The input is an A, class 0, and seen as 0."""
    found = verdicts(
        place(),
        (place(font=1), 1),  # another font, the same letter, another prediction: a hit
        (place(B), 0),  # another class, which the classifier does not see: a causal flip
        (place(B), 1),  # another class, which it sees: trivial
        (place(), 0),  # nothing
        (place(C), 1),  # another letter of the same class: a non-causal flip, no hit
        (place(C, 1), 1),  # and another font besides
        (place(nuisance=(1, 0, 0, 0, 0)), 1),  # less ink: a non-causal flip, no hit
    )
    assert found.success[0].tolist() == [True, True, False, False, True, True, True]
    assert found.hit[0].tolist() == [True] + [False] * 6
    numbers = scores(found)
    assert numbers["success"] == pytest.approx(5 / 7)
    assert numbers["non_causal_flip"] == pytest.approx(4 / 5)
    assert numbers["causal_flip"] == pytest.approx(1 / 5)
    assert numbers["trivial"] == pytest.approx(1 / 7)
    assert numbers["shortcut_hit"] == pytest.approx(1 / 7)
    assert numbers["shortcut_of_successful"] == pytest.approx(1 / 5)


def test_an_input_that_is_seen_wrongly():
    """An A seen as 1. To see an A as 0 is a successful flip: before and after do not both agree."""
    found = verdicts(place(), (place(font=1), 0), (place(B), 1), (place(B), 0), predicted=1)
    assert found.success[0].tolist() == [True, True, True]
    assert not found.agree.any()


def test_fault_the_bound_couples_its_blocks():
    """bex: nuisances of 2, 4, 10 left the font 50 %, 25 %, 10 % of its change."""
    before = place()[None]
    for size in (0.5, 2.0, 4.0, 10.0):
        change = torch.zeros(1, 1, 11)
        change[..., SHORTCUT] = torch.tensor([1.0, 0.0, -1.0])
        change[..., CORE] = torch.tensor([0.0, 1.0, 0.0])
        change[..., NUISANCE] = size / 5
        after = bounded(before, before[:, None] + change, renderer()) - before[:, None]
        torch.testing.assert_close(after[..., SHORTCUT], change[..., SHORTCUT])
        torch.testing.assert_close(after[..., CORE], change[..., CORE])
        assert after[..., NUISANCE].abs().sum().item() == pytest.approx(min(size, 1.0), abs=1e-5)


def test_the_bound_lets_every_letter_and_font_be_reached_and_nothing_further():
    before = place()[None]
    for character in range(26):
        after = bounded(before, place(character, 3)[None, None], renderer())
        torch.testing.assert_close(after[0, 0], place(character, 3))
    far = bounded(before, before[:, None] + 100, renderer()) - before[:, None]
    assert far[..., CORE].abs().sum().item() == pytest.approx(6)  # of {-1, 0, 1}^3
    assert far[..., SHORTCUT].abs().sum().item() == pytest.approx(6)


def test_fault_trivial_is_zero_where_nothing_succeeds():
    found = verdicts(place(), (place(B), 1), (place(B, 1), 1))
    assert scores(found)["trivial"] == 1
    assert scores(found)["success"] == 0


def test_fault_a_share_of_no_success_is_zero():
    numbers = scores(verdicts(place(), (place(B), 1)))
    assert math.isnan(numbers["non_causal_flip"])
    assert math.isnan(numbers["causal_flip"])


def test_fault_shares_are_means_over_batches():
    """One causal flip of one success, then one of three: 2 of 4, not the mean of 1 and 1/3."""
    flip, causal = (place(font=1), 1), (place(B), 0)
    first, second = verdicts(place(), causal, (place(), 0), (place(), 0)), verdicts(place(), causal, flip, flip)
    assert scores(joined([first, second]))["causal_flip"] == pytest.approx(0.5)
    assert scores(joined([first, second])) == pytest.approx(scores(joined([second, first])))


def count(*after, success):
    explanations = torch.stack(after)[None]
    return cardinality(place()[None], explanations, torch.tensor([success]), renderer()).item()


def test_fault_cardinality_counts_by_the_ranks_of_others():
    """Two opposite successes after two failures are two: bex said one."""
    ink = [place(nuisance=(size, 0, 0, 0, 0)) for size in (0.1, 0.2, 0.5, -0.5)]
    assert count(*ink, success=[False, False, True, True]) == 2
    assert count(*ink, success=[True, True, False, False]) == 1
    assert count(*ink, success=[False] * 4) == 0


def test_fault_orthogonal_edits_count_as_one():
    scale, rotation = place(nuisance=(0, 0.5, 0, 0, 0)), place(nuisance=(0, 0, 0, 0, 0.5))
    assert count(scale, rotation, success=[True, True]) == 2
    assert count(scale, place(nuisance=(0, -0.5, 0, 0, 0)), success=[True, True]) == 2
    assert count(scale, place(nuisance=(0, 0.4, 0, 0, 0)), success=[True, True]) == 1


def test_fonts_and_letters_count_once_each():
    assert count(place(font=1), place(font=2), place(B), success=[True] * 3) == 3
    assert count(place(font=1), place(font=1), success=[True, True]) == 1
    assert count(place(font=1), place(font=1, nuisance=(0.1, 0, 0, 0, 0)), success=[True, True]) == 1


def test_hits_where_the_classifier_uses_the_shortcut_are_of_those_inputs_alone():
    yes = torch.tensor([[True], [False]])
    no = torch.zeros(2, 1).bool()
    found = Verdicts(yes, no, no, yes, yes.sum(1), torch.tensor([True, False]))
    assert scores(found)["shortcut_hit"] == 0.5
    assert scores(found)["shortcut_hit_used"] == 1
    assert scores(found)["uses_shortcut"] == 0.5


def test_every_score_is_described():
    described = {metric.id for metric in METRICS}
    assert {*scores(verdicts(place(), (place(B), 1))), "accuracy", "blend"} == described
