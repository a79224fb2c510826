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
        "Rank correlation, over an input's features, of an attribution's sizes with those of an untrained network.",
    ),
)


def measure(
    attributions: Mapping[str, Float[Tensor, "n *features"]], untrained: Mapping[str, Float[Tensor, "n *features"]]
) -> dict[str, float]:
    """Spearman's correlation by explainer, meant over the inputs for which it is defined: not of a constant.

    1 for one that shows the same whatever the weights are. Ties share a rank, so features that neither network uses
    (integrated gradients' black pixels) count as agreement. Absent where it is defined for no input.
    """
    found = {}
    for explainer, attributed in attributions.items():
        ours, others = _centred_ranks(attributed), _centred_ranks(untrained[explainer])
        sizes = np.sqrt((ours**2).sum(1) * (others**2).sum(1))
        defined = sizes > 0
        if defined.any():
            correlations = (ours * others).sum(1)[defined] / sizes[defined]
            found[f"untrained_rank_correlation/{explainer}"] = float(correlations.mean())
    return found


def _centred_ranks(attributions: Float[Tensor, "n *features"]) -> Float[np.ndarray, "n d"]:
    from scipy.stats import rankdata  # takes a second to import

    ranks = rankdata(attributions.abs().flatten(1).cpu().numpy(), axis=1)
    return ranks - ranks.mean(1, keepdims=True)
