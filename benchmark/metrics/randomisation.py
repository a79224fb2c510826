"""Whether an explainer looks at the weights: Adebayo et al. 2018 (arxiv.org/abs/1810.03292), all weights at once."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .base import Metric, Values, metrics
from .evaluated import Evaluated


@metrics.measured_by(
    Metric(
        "untrained_rank_correlation/{explainer}",
        "lower",
        -1,
        1,
        "0",
        "Rank correlation of an input's attributions, by size, with those of a network of other, random weights.",
    )
)
def untrained_rank_correlations(evaluated: Evaluated) -> Values:
    """By explainer, where a suite ranks explainers."""
    measured = {}
    for explainer, untrained in evaluated.untrained.items():
        trained = evaluated.attributions[explainer][:, : untrained.shape[1]]
        found = [
            rank_correlation(ours, others) if able else np.nan
            for ours, others, able in zip(trained, untrained, evaluated.explicable.tolist(), strict=True)
        ]
        measured[f"untrained_rank_correlation/{explainer}"] = torch.tensor(found, dtype=torch.float64)
    return measured


def rank_correlation(trained: Float[Tensor, "n *features"], untrained: Float[Tensor, "n *features"]) -> float:
    """Spearman's correlation of the features that either network is given an attribution for, meant over the inputs.

    Without the others: what both leave at 0, such as an image's black background times a gradient, would count as
    agreement. Inputs whose features all tie are left out; NaN if no input remains. 1 for an explainer that shows the
    same whatever the weights are.
    """
    pairs = zip(_sizes(trained), _sizes(untrained), strict=True)
    correlations = [_rank_correlation(ours, others) for ours, others in pairs]
    return float("nan") if np.isnan(correlations).all() else float(np.nanmean(correlations))


def _sizes(attributions: Float[Tensor, "n *features"]) -> Float[np.ndarray, "n d"]:
    return attributions.abs().flatten(1).cpu().numpy()


def _rank_correlation(ours: Float[np.ndarray, "d"], others: Float[np.ndarray, "d"]) -> float:
    from scipy.stats import spearmanr  # takes a second to import

    shown = (ours > 0) | (others > 0)
    if any(np.unique(sizes[shown]).size < 2 for sizes in (ours, others)):
        return np.nan
    return float(spearmanr(ours[shown], others[shown]).statistic)
