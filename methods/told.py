"""Methods that are told where an input must not matter: where the shortcut is, or everywhere outside the core."""

from __future__ import annotations

from typing import Literal

from ..datasets.base import Batch
from .base import Mitigation, Supervision


class ToldWhere(Mitigation):
    """A method that forbids a part of each input.

    Attributes:
        told: `shortcut` forbids the mask. `outside core` forbids all but the core mask, and so also what nobody
            planted; it forbids nothing in an input whose core mask is empty.
    """

    told: Literal["shortcut", "outside core"] = "shortcut"

    @property
    def needs(self) -> frozenset[Supervision]:  # pyrefly: ignore  # of the parameters, where other methods' are fixed
        needed: Supervision = "masks" if self.told == "shortcut" else "core"
        return frozenset({needed})

    def forbidding(self, batch: Batch) -> Batch:
        """The batch with the forbidden part in place of its masks.

        Raises:
            ValueError: `outside core`, and a batch without core masks.
        """
        if self.told == "shortcut":
            return batch
        if batch.core is None:
            raise ValueError(f"{self.id} got a batch without core masks: pass told='shortcut', or data with core masks")
        outlined = batch.core.flatten(1).any(1).view(-1, *[1] * (batch.core.dim() - 1))
        return batch._replace(masks=~batch.core & outlined, touched=None, reached=None, areas=None)
