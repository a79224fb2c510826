"""What explanations are worth, by what the generator knows (Velazquez et al. 2023, openreview.net/forum?id=RYeRNwRjNE).

With y the prediction and o the true class, that of the letter there is most of, and primes after the change:

    flip      y' != y            causal    y' = y and o' != o          agree    y = o and y' = o'
    success   (flip or causal) and not agree
    hit       a successful flip with another font and the same letter
"""

from __future__ import annotations

from math import inf, nan
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...datasets.glyphs import CORE, NUISANCE, SHORTCUT, Renderer
from ..metrics.base import Metric

METRICS = (
    Metric("success", "higher", 0, 1, "the dummy's", "Share of the explanations that are successful."),
    Metric("non_causal_flip", "neither", 0, 1, "none", "Share of the successful ones that flip the prediction."),
    Metric("causal_flip", "neither", 0, 1, "none", "Share of the successful that flip the class, not the prediction."),
    Metric("trivial", "lower", 0, 1, "none", "Share that flip the prediction, rightly: the class is another, too."),
    Metric("cardinality", "higher", 0, inf, "none", "Successful explanations of an input that differ in direction."),
    Metric("shortcut_hit", "higher", 0, 1, "the dummy's", "Share that flip by another font, with the letter kept."),
    Metric(
        "shortcut_hit_used",
        "higher",
        0,
        1,
        "the dummy's",
        "The same, of inputs where the classifier uses the shortcut: a twin in a font of the other class flips it.",
    ),
    Metric("shortcut_of_successful", "neither", 0, 1, "none", "Share of the successful that are hits."),
    Metric("uses_shortcut", "neither", 0, 1, "none", "Share of the inputs where the classifier uses the shortcut."),
    Metric("accuracy", "higher", 0, 1, "0.5", "The classifier's, on inputs drawn as in training."),
    Metric(
        "blend", "lower", 0, inf, "none", "The renderer's mean absolute error against crisp letters, over their mean."
    ),
)
ORTHOGONAL, OPPOSITE = 0.15, -0.85
"""Two changes differ if the cosine between them is within the first, or below the second."""


class Verdicts(NamedTuple):
    """One entry an explanation; `distinct` and `used` one an input."""

    flip: Bool[Tensor, "batch n"]
    causal: Bool[Tensor, "batch n"]
    agree: Bool[Tensor, "batch n"]
    hit: Bool[Tensor, "batch n"]
    distinct: Int[Tensor, "batch"]
    used: Bool[Tensor, "batch"]

    @property
    def success(self) -> Bool[Tensor, "batch n"]:
        return (self.flip | self.causal) & ~self.agree


def joined(batches: list[Verdicts]) -> Verdicts:
    """The verdicts of several batches as those of one."""
    return Verdicts(*(torch.cat(parts) for parts in zip(*batches, strict=True)))


def scores(verdicts: Verdicts) -> dict[str, float]:
    """By metric. Shares are of all explanations together, not means of batches; a share of nothing is NaN."""
    success, hit = verdicts.success, verdicts.hit
    return {
        "success": _mean(success),
        "non_causal_flip": _mean((verdicts.flip & ~verdicts.agree)[success]),
        "causal_flip": _mean((verdicts.causal & ~verdicts.agree)[success]),
        "trivial": _mean(verdicts.flip & verdicts.agree),
        "cardinality": _mean(verdicts.distinct),
        "shortcut_hit": _mean(hit),
        "shortcut_hit_used": _mean(hit[verdicts.used]),
        "shortcut_of_successful": _mean(hit[success]),
        "uses_shortcut": _mean(verdicts.used),
    }


def bounded(
    latents: Float[Tensor, "batch z"], explanations: Float[Tensor, "batch n z"], renderer: Renderer
) -> Float[Tensor, "batch n z"]:
    """Explanations no further off than other inputs are.

    The change of the core has at most the L1 norm between the farthest two letters, that of the shortcut the farthest
    two fonts', that of the nuisances 1. Each part is scaled back alone.
    """
    change = explanations - latents[:, None]
    limits = (
        (CORE, _diameter(renderer.character_latents)),
        (SHORTCUT, _diameter(renderer.font_latents)),
        (NUISANCE, 1),
    )
    parts = []
    for block, limit in limits:
        norm = change[..., block].abs().sum(-1, keepdim=True)
        parts.append(change[..., block] * (limit / norm.clamp(min=limit)))
    return latents[:, None] + torch.cat(parts, -1)


def judged(
    latents: Float[Tensor, "batch z"],
    explanations: Float[Tensor, "batch n z"],
    predicted: Int[Tensor, "batch"],
    predictions: Int[Tensor, "batch n"],
    used: Bool[Tensor, "batch"],
    renderer: Renderer,
) -> Verdicts:
    """The verdicts on explanations, as they are: bound them first.

    Args:
        predicted: of the inputs.
        predictions: of the explanations.
    """
    sizes = explanations.shape[:2]
    character, font = (part[:, None] for part in renderer.nearest(latents))
    characters, fonts = (part.unflatten(0, sizes) for part in renderer.nearest(explanations.flatten(0, 1)))
    label, labels, before = character % 2, characters % 2, predicted[:, None]
    flip = predictions != before
    causal = (predictions == before) & (labels != label)
    agree = (before == label) & (predictions == labels)
    hit = flip & ~agree & (fonts != font) & (characters == character)
    distinct = cardinality(latents, explanations, (flip | causal) & ~agree, renderer)
    return Verdicts(flip, causal, agree, hit, distinct, used)


def cardinality(
    latents: Float[Tensor, "batch z"],
    explanations: Float[Tensor, "batch n z"],
    success: Bool[Tensor, "batch n"],
    renderer: Renderer,
) -> Int[Tensor, "batch"]:
    """How many successful explanations of an input differ from one another: greedily, the nearest (L1) first."""
    far = (explanations - latents[:, None]).abs().sum(2).masked_fill(~success, inf)
    order = far.argsort(dim=1, stable=True)
    direction = F.normalize(directions(latents, explanations, renderer), dim=2)
    direction = direction.gather(1, order[:, :, None].expand_as(direction))
    cos = direction @ direction.transpose(1, 2)
    differs = (cos.abs() < ORTHOGONAL) | (cos < OPPOSITE)
    candidates = success.gather(1, order)
    kept = torch.zeros_like(success)
    for i in range(success.shape[1]):
        kept[:, i] = candidates[:, i] & (differs[:, i] | ~kept).all(1)
    return kept.sum(1)


def directions(
    latents: Float[Tensor, "batch z"], explanations: Float[Tensor, "batch n z"], renderer: Renderer
) -> Float[Tensor, "batch n features"]:
    """What an explanation changes: how much there is now of each other letter and font, and the nuisances' changes."""
    sizes = explanations.shape[:2]
    own = renderer.nearest(latents)
    found = []
    for mixture, index in zip(renderer.mixture(explanations.flatten(0, 1)), own, strict=True):
        weights = mixture.unflatten(0, sizes)
        found.append(weights.scatter(2, index[:, None, None].expand(*sizes, 1), 0))
    return torch.cat([*found, (explanations - latents[:, None])[..., NUISANCE]], 2)


def _diameter(points: Float[Tensor, "points z"]) -> float:
    return torch.cdist(points, points, p=1).max().item()


def _mean(values: Tensor) -> float:
    return values.double().mean().item() if values.numel() else nan
