"""Whether an explainer looks at the weights: Adebayo et al. 2018 (arxiv.org/abs/1810.03292), all weights at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from torch import Tensor

from .base import Metric

METRICS = (
    Metric(
        "untrained_rank_correlation/{explainer}",
        "lower",
        -1,
        1,
        "0",
        "Rank correlation of an input's attributions, by size, with those of a network of other, random weights.",
    ),
)


def measure(
    attributions: Mapping[str, Float[Tensor, "n *features"]], untrained: Mapping[str, Float[Tensor, "n *features"]]
) -> dict[str, float]:
    """Spearman's correlation by explainer, of the features that either network is given an attribution for.

    Without the others: what both leave at 0, such as an image's black background times a gradient, would count as
    agreement. Meant over the inputs where it is defined: not where all features tie. Absent where it is for none. 1 for
    an explainer that shows the same whatever the weights are.
    """
    found = {}
    for explainer, attributed in attributions.items():
        pairs = zip(_sizes(attributed), _sizes(untrained[explainer]), strict=True)
        correlations = [_rank_correlation(ours, others) for ours, others in pairs]
        if not np.isnan(correlations).all():
            found[f"untrained_rank_correlation/{explainer}"] = float(np.nanmean(correlations))
    return found


def _sizes(attributions: Float[Tensor, "n *features"]) -> Float[np.ndarray, "n d"]:
    return attributions.abs().flatten(1).cpu().numpy()


def _rank_correlation(ours: Float[np.ndarray, "d"], others: Float[np.ndarray, "d"]) -> float:
    from scipy.stats import spearmanr  # takes a second to import

    shown = (ours > 0) | (others > 0)
    if any(np.unique(sizes[shown]).size < 2 for sizes in (ours, others)):
        return np.nan
    return float(spearmanr(ours[shown], others[shown]).statistic)
