"""Explainers that change an input, by its latents, until the prediction changes. One file each.

They are classes of their own, and not entries of the attribution registry: their verb is `explain_batch`.
"""

from __future__ import annotations

from ....datasets.registry import UnknownName, nearest
from .base import ExplainerBase, LatentSpace
from .dice import Dice
from .dive import Dive
from .dummy import Dummy
from .growing_spheres import GrowingSpheres
from .informed_search import InformedSearch
from .lcf import LCF
from .stylex import Stylex
from .xgem import Xgem

COUNTERFACTUALS: dict[str, type[ExplainerBase]] = {
    "dice": Dice,
    "dive": Dive,
    "dummy": Dummy,
    "gs": GrowingSpheres,
    "is": InformedSearch,
    "lcf": LCF,
    "stylex": Stylex,
    "xgem": Xgem,
}
"""By the names that bex gave them."""


def explainer_class(name: str | type[ExplainerBase]) -> type[ExplainerBase]:
    """The explainer of this name, in which capitals do not matter; a class is its own.

    Raises:
        UnknownName: there is none; the message lists the nearest.
    """
    if not isinstance(name, str):
        return name
    if name.lower() not in COUNTERFACTUALS:
        raise UnknownName(f"no counterfactual explainer is called {name!r}; {nearest(name.lower(), COUNTERFACTUALS)}")
    return COUNTERFACTUALS[name.lower()]


__all__ = [
    "COUNTERFACTUALS",
    "LCF",
    "Dice",
    "Dive",
    "Dummy",
    "ExplainerBase",
    "GrowingSpheres",
    "InformedSearch",
    "LatentSpace",
    "Stylex",
    "Xgem",
    "explainer_class",
]
