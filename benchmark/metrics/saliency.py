"""How much of a saliency map lies on the shortcut. An id says its sign policy.

`abs`: the size of an attribution counts, whatever its sign; `pos`: positive attributions count alone.

A score gives a number for each input, and NaN where there is nothing to score: an empty mask, or an attribution that is
zero everywhere or not finite. A metric is the mean over the other inputs; `empty_masks` and `unattributed` count the
inputs left out.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...datasets.base import chunks
from .base import Metric, Values, metrics
from .column import Column
from .evaluated import Evaluated

Score = Callable[[Float[Tensor, "n *features"], Bool[Tensor, "n *#features"]], Float[Tensor, "n"]]

SCORES: dict[str, Score] = {}


def _few_at_once(score: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The score of each input, with as many inputs at once as may be read at once."""
    return lambda attributions, masks: torch.cat(
        [score(attributions[rows], masks[rows]) for rows in chunks(attributions)]
    )


def _scores(
    chance: str, high: float = 1, columns: tuple[Column, ...] = (), together: bool = False
) -> Callable[[Score], Score]:
    """Adds a score as a metric; the first line of its docstring is the metric's meaning.

    Args:
        together: an input's score depends on the other inputs; else few large inputs are scored at once.
    """

    def add(score: Score) -> Score:
        name, meaning = score.__name__, (score.__doc__ or "").splitlines()[0]
        described = Metric(f"{name}/{{explainer}}", "lower", 0, high, chance, meaning, columns)
        metrics.measured_by(described)(_MeanScore(name, score if together else _few_at_once(score)))
        SCORES[name] = score
        return score

    return add


class _MeanScore:
    """Measures a score for every explainer: its mean over the inputs that it can score."""

    def __init__(self, name: str, score: Score) -> None:
        self.__qualname__, self.score = name, score

    def __call__(self, evaluated: Evaluated) -> Values:
        return _by_explainer(evaluated, self.__qualname__, lambda *given: self.score(*given).nanmean())


@_scores(chance="the mask's share of the features")
def mass_abs(attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]) -> Float[Tensor, "n"]:
    """Share of the absolute attribution that lies in the mask."""
    size, mask, scored = _flat(attributions, masks)
    return _where(scored, (size * mask).sum(1) / size.sum(1))


@_scores(
    chance="1",
    high=inf,
    columns=(
        Column(
            "mass_abs_over_chance/input_gradient",
            "mask saliency\nover chance",
            "mass_abs_over_chance/input_gradient; 1: the mask has no more than its area's share",
            decimals=2,
            order=30,
        ),
        Column(
            "mass_abs_over_chance/integrated_gradients",
            "the same,\nheld out",
            "mass_abs_over_chance/integrated_gradients, at which no loss looks but those of "
            "integrated_gradients_penalty and expected_gradients",
            decimals=2,
            order=31,
        ),
    ),
)
def mass_abs_over_chance(
    attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]
) -> Float[Tensor, "n"]:
    """Share of the absolute attribution that lies in the mask, over the mask's share of the features."""
    return mass_abs(attributions, masks) / masks.expand_as(attributions).flatten(1).float().mean(1)


@_scores(chance="the mask's share of the features")
def pointing_game_abs(
    attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]
) -> Float[Tensor, "n"]:
    """Whether the largest absolute attribution lies in the mask: 1 or 0, and between where several are largest.

    Those tie, and score the share of them that is in the mask: what a fair draw among them gives on average.
    """
    size, mask, scored = _flat(attributions, masks)
    largest = size == size.amax(1, keepdim=True)
    return _where(scored, (largest & mask).sum(1) / largest.sum(1))


@_scores(chance="the mask's share of the features")
def rank_accuracy_abs(
    attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]
) -> Float[Tensor, "n"]:
    """Share of the |mask| features with the largest absolute attribution that lies in the mask.

    Arras, Osman, Samek 2022. Ties at the last rank are drawn fairly, as in the pointing game. A feature without
    attribution has no rank: with fewer than |mask| others, the share is of those.
    """
    size, mask, scored = _flat(attributions, masks)
    share = _among_the_largest(size, mask)
    return _where(scored, (share * mask).sum(1) / share.sum(1))


@_scores(chance="share / (2 - share), of the mask's share of the features")
def iou_abs(attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]) -> Float[Tensor, "n"]:
    """Intersection over union of the mask and the |mask| features with the largest absolute attribution.

    Viviano et al. 2021 choose the threshold so, by the mask's size. Ties and features without attribution as in
    `rank_accuracy_abs`, of which it is r / (2 - r) where |mask| features have attribution: of ties, the IoU of the mean
    overlap.
    """
    size, mask, scored = _flat(attributions, masks)
    share = _among_the_largest(size, mask)
    both = (share * mask).sum(1)
    return _where(scored, both / (share.sum(1) + mask.sum(1) - both))


def _among_the_largest(size: Float[Tensor, "n d"], mask: Bool[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The probability that a feature is among the |mask| largest, if ties at the last rank are drawn fairly."""
    rank = mask.sum(1, keepdim=True)
    last = size.sort(1, descending=True).values.gather(1, (rank - 1).clamp(min=0))
    above, tied = size > last, (size == last) & (last > 0)
    places = (rank - above.sum(1, keepdim=True)) * tied.any(1, keepdim=True)  # left for those that tie
    return above + places * tied / tied.sum(1, keepdim=True).clamp(min=1)


@_scores(chance="the mask's share of the pixels")
def mass_pos(attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]) -> Float[Tensor, "n"]:
    """Share of the positive attribution, channels summed, that lies in the mask.

    The energy-based pointing game (Wang et al. 2020, Score-CAM, section 4.3). An input without positive attribution has
    no share.
    """
    _, _, scored = _flat(attributions, masks)
    positive = _pixels(attributions).sum(1).clamp(min=0)
    mask = _pixels(masks.expand_as(attributions)).any(1)
    return _where(scored & (positive > 0).any(1), (positive * mask).sum(1) / positive.sum(1))


@_scores(chance="10 times the mask's share of the features", high=10)
def top_10_abs(attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]) -> Float[Tensor, "n"]:
    """How many of the ten features with the largest absolute attribution lie in the mask.

    Ross et al. 2017, on Iris-Cancer. Of fewer than ten features, all; which of those that tie is open.
    """
    size, mask, scored = _flat(attributions, masks)
    first = size.topk(min(10, size.shape[1])).indices
    return _where(scored, mask.gather(1, first).sum(1).to(size))


@_scores(chance="the mask's share of the pixels")
def rule_score_abs(
    attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]
) -> Float[Tensor, "n"]:
    """Share of the pixels above 0.67 of the largest absolute attribution that lies in the mask.

    Ross et al. 2017, on Toy Colors: a pixel is active if any of its channels is.
    """
    size, _, scored = _flat(attributions, masks)
    largest = size.amax(1).reshape(-1, *[1] * (attributions.dim() - 1))
    active, mask = _pixels(attributions.abs() > 0.67 * largest).any(1), _pixels(masks.expand_as(attributions)).any(1)
    return _where(scored, (active & mask).sum(1) / active.sum(1))


@_scores(chance="100 times the share of all pixels that is above the threshold", high=100, together=True)
def wrong_reason_pos(
    attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]
) -> Float[Tensor, "n"]:
    """Percentage of the mask's pixels whose positive attribution is above the network's average: the typology's WR.

    Friedrich et al. 2023, `quantify_wrong_reason`: channels are summed, negatives clipped, each input brought to [0, 1]
    by (a - min) / (max + 1e-6), and inputs that come out all zero left out. The threshold is the mean over the others,
    so a score depends on the whole set, and two networks have two thresholds.
    """
    _, _, scored = _flat(attributions, masks)
    positive = _pixels(attributions).sum(1).clamp(min=0)
    positive = positive - positive.amin(1, keepdim=True)
    relative = positive / (positive.amax(1, keepdim=True) + 1e-6)
    scored = scored & (relative > 0).any(1)
    threshold = _where(scored, relative.mean(1)).nanmean()
    mask = _pixels(masks.expand_as(attributions)).any(1)
    return _where(scored, 100 * ((relative > threshold) & mask).sum(1) / mask.sum(1))


@metrics.measured_by(Metric("empty_masks", "neither", 0, inf, "none", "Inputs left out because they have no mask."))
def empty_masks(evaluated: Evaluated) -> Values:
    """Absent for a network without finite attributions, as all saliency is."""
    if evaluated.explained is None:
        return {}
    empty = (~evaluated.explained.masks.flatten(1).any(1)).sum().double()
    return {"empty_masks": empty.where(evaluated.explicable, torch.nan)}


@metrics.measured_by(
    Metric(
        "unattributed/{explainer}",
        "neither",
        0,
        inf,
        "none",
        "Inputs with a mask left out because their attribution is zero everywhere or not finite.",
    )
)
def unattributed(evaluated: Evaluated) -> Values:
    """By explainer."""

    def count(attributions: Tensor, masks: Tensor) -> Tensor:
        return _few_at_once(left_out)(attributions, masks).sum()

    def left_out(attributions: Tensor, masks: Tensor) -> Bool[Tensor, "n"]:
        return ~_flat(attributions, masks).scored & masks.flatten(1).any(1)

    return _by_explainer(evaluated, "unattributed", count)


def _by_explainer(evaluated: Evaluated, name: str, measure: Callable[[Tensor, Tensor], Float[Tensor, ""]]) -> Values:
    """A number for each network and explainer; NaN for a network without finite attributions."""
    if evaluated.explained is None:
        return {}
    measured, masks = {}, evaluated.explained.masks
    for explainer, attributions in evaluated.attributions.items():
        values = torch.stack([measure(of_network, masks).double() for of_network in attributions])
        measured[f"{name}/{explainer}"] = values.where(evaluated.explicable, torch.nan)
    return measured


class _Flat(NamedTuple):
    """Absolute attributions and masks by feature, and which inputs can be scored."""

    size: Float[Tensor, "n d"]
    mask: Bool[Tensor, "n d"]
    scored: Bool[Tensor, "n"]


def _flat(attributions: Float[Tensor, "n *features"], masks: Bool[Tensor, "n *#features"]) -> _Flat:
    size, mask = attributions.abs().flatten(1), masks.expand_as(attributions).flatten(1)
    return _Flat(size, mask, mask.any(1) & (size > 0).any(1) & size.isfinite().all(1))


def _pixels(image: Tensor) -> Tensor:
    """(n, channels, pixels); a feature of a vector is a pixel with one channel."""
    return image.flatten(2) if image.dim() > 2 else image.unsqueeze(1)


def _where(scored: Bool[Tensor, "n"], scores: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    return scores.where(scored, torch.nan)
