"""bex's names of the metrics, beside ours: `docs/counterfactuals.md` has them as a table."""

from __future__ import annotations

from collections.abc import Mapping

NAMES = {
    "SCE": "success",
    "Non-Causal Flip": "non_causal_flip",
    "Causal Flip": "causal_flip",
    "Trivial": "trivial",
    "Cardinality (S#)": "cardinality",
}
"""Ours by bex's."""


def with_bex_names(scores: Mapping[str, float]) -> dict[str, float]:
    """The scores by bex's names, then by ours."""
    return {**{theirs: scores[ours] for theirs, ours in NAMES.items()}, **scores}
