"""The pairs of inputs that differ in the shortcut alone, and what a network predicts for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd
from jaxtyping import Bool, Int
from torch import Tensor

from ...datasets.base import Environment, ShortcutDataset
from ...datasets.on_disk import OnDisk
from ..metrics.evaluated import Evaluated
from ..metrics.reliance import redrawn

PAIRS: tuple[tuple[Environment, Environment], ...] = (
    ("aligned", "random"),
    ("observed", "exchanged"),
    ("observed", "removed"),
)
"""Of a known rule, and of photos; the first pair that a dataset has."""


class Flip(NamedTuple):
    """A test input whose prediction changes with the shortcut."""

    input: int
    before: int
    after: int


def counted_twins(draw: ShortcutDataset, before: Environment, after: Environment) -> Bool[Tensor, "n"]:
    """The inputs of a pair of environments that show another shortcut value, or whose twin alone shows one, or none."""
    if after in ("removed", "added", "elsewhere"):
        return draw.test(after).shown
    return redrawn(draw.test(before), draw.test(after))


def predictions_of(evaluated: Evaluated, twins: Twins | None) -> pd.DataFrame:
    """A row a test input: `photo` (its file, of a folder), `label`, `predicted`, and of twins `twin` and `flips`.

    `twin` is the prediction for the twin; `flips` says whether it is another, and is empty where the twin shows no
    other shortcut value.
    """
    shown = twins.before if twins else next(iter(evaluated.draw.environments))
    split = evaluated.draw.test(shown)
    files = {"photo": list(split.inputs.sources)} if isinstance(split.inputs, OnDisk) and split.inputs.sources else {}
    told = {"label": split.labels.tolist(), "predicted": evaluated.predictions[shown][0].tolist()}
    if twins:
        flips = pd.Series((twins.predicted_before != twins.predicted_after).tolist(), dtype="boolean")
        told |= {"twin": twins.predicted_after.tolist(), "flips": flips.where(twins.counted.numpy())}
    return pd.DataFrame(files | told).rename_axis("input")


@dataclass(frozen=True)
class Twins:
    """Twins with a network's predictions; without any where a dataset has no pair of environments.

    Attributes:
        counted: twins that show another shortcut value.
    """

    before: Environment
    after: Environment
    predicted_before: Int[Tensor, "n"]
    predicted_after: Int[Tensor, "n"]
    counted: Bool[Tensor, "n"]

    @classmethod
    def of(cls, evaluated: Evaluated) -> Twins | None:
        """The first pair of environments that the dataset has."""
        for before, after in PAIRS:
            if {before, after} <= evaluated.predictions.keys():
                one, other = evaluated.predictions[before][0], evaluated.predictions[after][0]
                return cls(before, after, one, other, counted_twins(evaluated.draw, before, after))
        return None

    @property
    def flips(self) -> list[Flip]:
        """The counted twins with two predictions, in the order of the inputs."""
        flipped = ((self.predicted_before != self.predicted_after) & self.counted).nonzero()[:, 0].tolist()
        return [Flip(i, int(self.predicted_before[i]), int(self.predicted_after[i])) for i in flipped]

    def first(self, count: int) -> list[int]:
        """Inputs to picture: those that flip first, then other counted ones."""
        flipped = [flip.input for flip in self.flips]
        others = [i for i in self.counted.nonzero()[:, 0].tolist() if i not in set(flipped[:count])]
        return [*flipped, *others][:count]
