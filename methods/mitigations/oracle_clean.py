r"""A reference, and no mitigation: ERM on the same training inputs, rendered without their shortcut.

    loss = mean_n -log p_y(x'_n),   x'_n the clean twin of x_n

The same inputs, order, initialisation and steps as ERM's. In the environment `clean` it scores what a perfect
mitigation could, if it knew the pixels behind the shortcut. Where a shortcut is shown, it is no bound: it has never
seen one. On decoy digits its accuracy/random is 0.881, below RRR's 0.945 (results/leaderboard/mitigations-quick.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from ...datasets.base import ShortcutDataset
from ..base import Supervision, mitigations
from .erm import ERM

if TYPE_CHECKING:
    from ...benchmark.engine.trainer import Fitted, Trainer


@mitigations.register
class OracleClean(ERM):
    """ERM on inputs that have no shortcut."""

    name: ClassVar[str] = "oracle_clean"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x'_n), \quad x'_n \text{ the clean twin of } "
        r"x_n"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"twins"})

    def obstacle(self, dataset: ShortcutDataset) -> str:
        return f"{dataset.id} cannot be rendered without its shortcut" if dataset.clean_train is None else ""

    def fit(self, trainer: Trainer) -> Fitted:
        splits = [draw.clean_train() for draw in trainer.draws if draw.clean_train is not None]
        clean = trainer.altered(splits=splits)
        fitted = clean.train(self)
        right = clean.per_input(fitted, lambda net, batch: net(batch.inputs).argmax(-1) == batch.labels)
        return replace(fitted, metrics={**fitted.metrics, "accuracy/train": right.double().mean(-1)})
