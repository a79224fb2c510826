r"""A reference, and no mitigation: ERM on the same training inputs, rendered without their shortcut.

    loss = mean_n -log p_y(x'_n),   x'_n the clean twin of x_n

Inputs, order, initialisation and steps are ERM's. In the environment `clean` the oracle has the accuracy of a perfect
mitigation that knows the pixels behind the shortcut. In environments that show a shortcut the oracle is no bound,
because it has never seen a shortcut: on decoy digits its accuracy/random is 0.875, below RRR's 0.953
(results/leaderboard/mitigations-quick.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from torch import nn

from ...datasets.base import ShortcutDataset
from ..base import Supervision, mitigations
from ..fitting import Fitted, Trainer
from .erm import ERM


@mitigations.register
class OracleClean(ERM):
    """Trains by ERM on the clean twins of the training inputs."""

    name: ClassVar[str] = "oracle_clean"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x'_n), \quad x'_n \text{ the clean twin of } "
        r"x_n"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"twins"})

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        if dataset.clean_train is None:
            return f"{dataset.id} cannot be rendered without its shortcut"
        return super().obstacle(dataset, module)

    def fit(self, trainer: Trainer) -> Fitted:
        splits = [draw.clean_train() for draw in trainer.draws if draw.clean_train is not None]
        clean = trainer.altered(splits=splits)
        fitted = clean.train(self)
        correct = clean.per_input(fitted, lambda net, batch: net(batch.inputs).argmax(-1) == batch.labels)
        return replace(fitted, metrics={**fitted.metrics, "accuracy/train": correct.double().mean(-1)})
