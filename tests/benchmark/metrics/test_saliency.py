"""Saliency scores by hand, at their two ends and at chance."""

import math

import pytest
import torch
from rrrbench.benchmark.metrics import saliency
from rrrbench.benchmark.metrics.base import metrics
from rrrbench.benchmark.metrics.evaluated import Evaluated
from rrrbench.datasets.base import Batch
from rrrbench.methods.explainers.base import explainers
from small import small_dataset
from torch import nn

ABSOLUTE = ["mass_abs", "pointing_game_abs", "rank_accuracy_abs", "rule_score_abs"]


def measure(attributions, masks):
    """What the saliency metrics say of one network, without what cannot be measured."""
    explained = Batch(masks, None, masks, None)
    by_explainer = {name: values[None] for name, values in attributions.items()}
    evaluated = Evaluated(small_dataset(), explained=explained, attributions=by_explainer)
    found = {}
    for entry in dict.fromkeys(known.measure for known in metrics if known.measure is not None):
        if entry.__module__ == saliency.__name__:
            found |= {name: value.item() for name, value in entry(evaluated).items()}
    return {name: value for name, value in found.items() if value == value}


def row(*values):
    return torch.tensor([values], dtype=torch.float32)


def mask(*values):
    return torch.tensor([values], dtype=torch.bool)


# The two ends: a network that sees the mask alone, and one that sees everything but the mask.


class Sees(nn.Module):
    """A convolution and a ReLU layer on the inputs times a fixed 0-1 image."""

    def __init__(self, visible):
        super().__init__()
        torch.manual_seed(0)
        self.visible = visible
        self.layers = nn.Sequential(
            nn.Conv2d(2, 6, 1), nn.Softplus(), nn.Flatten(), nn.Linear(6 * 25, 16), nn.ReLU(), nn.Linear(16, 3)
        )

    def forward(self, inputs):
        return self.layers(inputs * self.visible)


COARSE = {"gradcam", "guided_gradcam", "occlusion", "random_attribution"}  # they do not resolve single pixels


@pytest.mark.parametrize("explainer", sorted(set(explainers.names()) - COARSE))
@pytest.mark.parametrize("extent", [1, 2, 4])  # up to 16 of 25 pixels: more than are left outside
@pytest.mark.parametrize("uses_the_mask", [True, False])
def test_what_the_network_provably_sees(explainer, extent, uses_the_mask):
    masks = torch.zeros(8, 1, 5, 5, dtype=torch.bool)
    masks[..., :extent, :extent] = True
    inputs = torch.rand(8, 2, 5, 5, generator=torch.Generator().manual_seed(2))
    inputs[:, :, 0, 0] += 0.1  # never all black: integrated gradients give nothing to a zero
    network = Sees((masks[0] == uses_the_mask).float())
    attributions = explainers.resolve(explainer).attribute(network, inputs, network(inputs).argmax(1))
    found = measure({explainer: attributions}, masks)
    for metric in ABSOLUTE:
        assert found[f"{metric}/{explainer}"] == float(uses_the_mask)
    area = extent**2 / 25
    assert found[f"mass_abs_over_chance/{explainer}"] == pytest.approx(uses_the_mask / area)
    if not uses_the_mask:
        assert found[f"wrong_reason_pos/{explainer}"] == 0
    assert found["empty_masks"] == found[f"unattributed/{explainer}"] == 0


@pytest.mark.parametrize("shape", [(48,), (3, 4, 4)])
def test_random_attributions_are_at_chance(shape):
    """Features are exchangeable, so each score's mean is the mask's share p = 1/4.

    A score in [0, 1] with mean p has variance at most p (1 - p), so 5 standard errors are 5 sqrt(p (1 - p) / n).
    """
    n, p = 4000, 1 / 4
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(n, math.prod(shape[-2:]), generator=generator).argsort(1) < math.prod(shape[-2:]) * p
    masks = masks.reshape(n, *(s if d else 1 for d, s in enumerate(shape))) if len(shape) > 1 else masks
    found = measure({"random": torch.randn(n, *shape, generator=generator)}, masks)
    tolerance = 5 * math.sqrt(p * (1 - p) / n)
    for metric in ABSOLUTE:
        assert found[f"{metric}/random"] == pytest.approx(p, abs=tolerance)
    assert found["mass_abs_over_chance/random"] == pytest.approx(1, abs=tolerance / p)


# By hand.


def test_mass_by_hand():
    """|a| = 1, 3, 4, 2: the mask has 1 + 3 of 10; its area is a half, so that is 0.8 of chance."""
    a, m = row(1, -3, 4, 2), mask(1, 1, 0, 0)
    assert saliency.mass_abs(a, m).tolist() == pytest.approx([0.4])
    assert saliency.mass_abs_over_chance(a, m).tolist() == pytest.approx([0.8])


def test_pointing_game_by_hand():
    masks = mask(1, 1, 0, 0)
    assert saliency.pointing_game_abs(row(1, -5, 4, 2), masks).tolist() == [1]
    assert saliency.pointing_game_abs(row(1, 3, 4, 2), masks).tolist() == [0]
    assert saliency.pointing_game_abs(row(4, -4, 4, 2), masks).tolist() == pytest.approx([2 / 3])


def test_top_10_by_hand():
    """Of 1, ..., 12 the ten largest are 3, ..., 12: three of the mask's five, whatever the signs."""
    masks = torch.arange(1, 13)[None] < 6
    assert saliency.top_10_abs(torch.arange(1.0, 13)[None], masks).tolist() == [3]
    assert saliency.top_10_abs(-torch.arange(1.0, 13)[None], ~masks).tolist() == [7]
    assert saliency.top_10_abs(row(3, 1, 2), mask(1, 0, 1)).tolist() == [2]


def test_rank_accuracy_by_hand():
    masks = mask(1, 1, 1, 0, 0, 0)
    score = lambda *values: saliency.rank_accuracy_abs(row(*values), masks).item()  # noqa: E731
    assert score(9, -8, 1, 7, 2, 3) == pytest.approx(2 / 3)  # the top three are 9, 8, 7
    assert score(9, 5, 1, -5, 5, 3) == pytest.approx((1 + 2 / 3) / 3)  # two places for three fives, one of them inside
    assert score(2, 2, 2, 2, 2, 2) == pytest.approx(1 / 2)  # all tie: chance
    assert score(9, 0, 0, 4, 0, 0) == pytest.approx(1 / 2)  # two have a rank; zeros fill no place


def test_rule_score_by_hand():
    """2 x 2 pixels, 2 channels, largest 10: active from 6.7 on, here pixels 0 (by channel 1), 1 and 3, not 2 (6.6)."""
    a = torch.tensor([[[[0.0, -10.0], [6.6, 6.8]], [[7.0, 8.0], [6.6, 0.0]]]])
    m = torch.tensor([[[[True, False], [True, True]]]])
    assert saliency.rule_score_abs(a, m).tolist() == pytest.approx([2 / 3])


def test_wrong_reason_by_hand():
    """Two 2 x 2 images; negatives clipped, least subtracted, largest 1.

    [4, -1, 2, 0] becomes [1, 0, 1/2, 0] with mean 3/8; [3, 1, 1, 2] becomes [1, 0, 0, 1/2] with mean 3/8. The threshold
    is 3/8: the first image's mask {0, 1} has pixel 0 above it, 1 of 2; the second's {0, 1, 3} has 0 and 3, 2 of 3.
    """
    a = torch.tensor([[4.0, -1, 2, 0], [3, 1, 1, 2]]).reshape(2, 1, 2, 2)
    m = torch.tensor([[1, 1, 0, 0], [1, 1, 0, 1]]).bool().reshape(2, 1, 2, 2)
    assert saliency.wrong_reason_pos(a, m).tolist() == pytest.approx([50, 200 / 3])
    assert measure({"x": a}, m)["wrong_reason_pos/x"] == pytest.approx((50 + 200 / 3) / 2)


def test_wrong_reason_has_one_threshold_for_the_whole_set():
    """Alone, [1, 0.4, 0, 0] has threshold 0.35 and 0.4 is above it; beside [1, 1, 1, 0] it is 0.55, and is not."""
    one, other, masks = row(1, 0.4, 0, 0), row(1, 1, 1, 0), mask(0, 1, 0, 0)
    assert saliency.wrong_reason_pos(one, masks).tolist() == [100]
    assert saliency.wrong_reason_pos(torch.cat([one, other]), masks.expand(2, 4)).tolist() == [0, 100]


def test_intersection_over_union_is_of_as_many_features_as_the_mask_has():
    """The 2 largest of |a| are features 1 and 2, the mask is 0 and 1: 1 in both, 3 in either."""
    assert saliency.iou_abs(row(1, -3, 4, 2), mask(1, 1, 0, 0)).tolist() == pytest.approx([1 / 3])
    assert saliency.iou_abs(row(2, 0, 0, 0), mask(1, 1, 1, 0)).tolist() == pytest.approx([1 / 3])  # one has attribution
    assert saliency.iou_abs(row(0, 0, 0, 2), mask(1, 1, 1, 0)).tolist() == [0]


def test_positive_mass_sums_channels_before_it_clips():
    """Channels sum to 3, -1, 2, 0: positive are 3 and 2, and the mask has the 3."""
    a = torch.tensor([[[[4.0, 1.0]], [[-1.0, -2.0]]], [[[-1.0, -1.0]], [[0.0, 0.0]]]])
    m = torch.tensor([[[[True, False]]]]).expand(2, 1, 1, 2)
    found = saliency.mass_pos(torch.cat([a, torch.tensor([[[[2.0, 1.0]], [[1.0, 1.0]]]])]), m[:1].expand(3, 1, 1, 2))
    assert found[0] == 1
    assert found[1].isnan()  # nothing is positive
    assert found[2] == pytest.approx(3 / 5)


def test_wrong_reason_sums_channels_before_it_clips():
    """Channels 3 and -2 are 1 together, channels 1 and -4 nothing."""
    a = torch.tensor([[[[3.0, 1.0]], [[-2.0, -4.0]]]])
    m = torch.tensor([[[[True, False]]]])
    assert saliency.wrong_reason_pos(a, m).tolist() == [100]
    assert saliency.wrong_reason_pos(a, ~m).tolist() == [0]


def test_the_sign_policy_is_in_the_id():
    """A flipped sign changes nothing for `abs`, and everything for `pos`."""
    a, m = row(1, -3, 4, 2), mask(1, 1, 0, 0)
    for name, score in saliency.SCORES.items():
        assert name.endswith(("_abs", "_abs_over_chance", "_pos"))
        assert torch.equal(score(a, m), score(-a, m)) == ("_abs" in name)


# What is left out.


def test_an_empty_mask_is_left_out_and_counted_never_scored():
    a, m = row(1, -3, 4, 2), mask(1, 1, 0, 0)
    with_empty = torch.cat([a, row(5, 5, 5, 0.1)]), torch.cat([m, mask(0, 0, 0, 0)])
    alone, found = measure({"x": a}, m), measure({"x": with_empty[0]}, with_empty[1])
    assert alone["empty_masks"] == 0
    assert found.pop("empty_masks") == 1
    assert {**found, "empty_masks": 0} == pytest.approx(alone)
    for score in saliency.SCORES.values():
        assert score(*with_empty).isnan().tolist() == [False, True]


def test_an_attribution_of_nothing_is_left_out_and_counted():
    a, m = torch.cat([row(1, -3, 4, 2), row(0, 0, 0, 0)]), mask(1, 1, 0, 0).expand(2, 4)
    found, alone = measure({"x": a}, m), measure({"x": a[:1]}, m[:1])
    assert found.pop("unattributed/x") == 1
    assert {**found, "unattributed/x": 0} == pytest.approx(alone)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_attribution_that_is_not_finite_has_no_score_and_its_network_no_saliency(value):
    a, m = torch.cat([row(1, -3, 4, 2), row(value, 0, 0, 0)]), mask(1, 1, 0, 0).expand(2, 4)
    for score in saliency.SCORES.values():
        found = score(a, m)
        assert found.isnan().tolist() == [False, True]
        torch.testing.assert_close(found[:1], score(a[:1], m[:1]))
    assert measure({"x": a, "y": torch.ones(2, 4)}, m) == {}


def test_wrong_reason_leaves_out_what_has_no_positive_attribution():
    a, m = torch.cat([row(1, 0, 0, 0), row(-1, -2, 0, 0), row(3, 3, 3, 3)]), mask(1, 1, 0, 0).expand(3, 4)
    assert saliency.wrong_reason_pos(a, m).isnan().tolist() == [False, True, True]


def test_scores_that_could_score_nothing_are_absent():
    found = measure({"x": torch.ones(2, 1, 3, 3), "y": torch.zeros(2, 1, 3, 3)}, torch.zeros(2, 1, 3, 3).bool())
    assert found == {"empty_masks": 2, "unattributed/x": 0, "unattributed/y": 0}


@pytest.mark.parametrize("name", sorted(saliency.SCORES.keys() - {"wrong_reason_pos"}))
def test_an_input_scores_the_same_in_any_batch(name):
    generator = torch.Generator().manual_seed(4)
    a = torch.randn(6, 2, 3, 3, generator=generator).round()  # rounded: with ties
    m = torch.rand(6, 1, 3, 3, generator=generator) < 0.3
    score = saliency.SCORES[name]
    alone = torch.cat([score(a[[n]], m[[n]]) for n in range(6)])
    torch.testing.assert_close(score(a, m), alone, equal_nan=True)


@pytest.mark.parametrize("name", sorted(saliency.SCORES))
def test_a_mask_may_be_broadcast_or_not_and_nothing_is_changed(name):
    a, m = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(5)), torch.zeros(5, 1, 4, 4).bool()
    m[..., :2] = True
    before = a.clone()
    torch.testing.assert_close(saliency.SCORES[name](a, m), saliency.SCORES[name](a, m.expand_as(a)))
    assert torch.equal(a, before)
