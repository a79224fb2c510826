r"""Augmentative class artifact compensation (A-ClArC: Anders et al., Information Fusion 2022).

Stage 1 is ERM. Stage 2 trains its last layer for `epochs` more, also on features that all have the shortcut:

    loss = mean_n -log p_y(h_n)  +  strength * mean_n -log p_y(h'_n),   h'_n = h_n - P (h_n - m),   m = mean_n h(x_n)

h are the features (the last layer's input) and P is the orthogonal projection onto the first `rank` principal axes of
the directions of the classes' shortcuts (`..shortcut_directions`). In h' every input has the mean shortcut, which
therefore says nothing of the label. For a single direction v this is the paper's h' = h + (m . v - h . v) v. The
features stay as they are, so that the directions stay right. A run at strength 0 is ERM's network.

Deviations. The paper trains on h' alone, to which strengths far above 1 come near. The directions come from pairs, and
so the method is told masks. In the released code the change of the features stays switched on at test time; here the
last layer is tested on features as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..fitting import Fitted, Trainer
from ..last_layer import with_unchangeable_head, without_linear_head
from ..network import Net
from ..shortcut_directions import directions, fine_tuned, paired_features, projection
from .erm import ERM

ONTO, MEAN = "a_clarc.onto", "a_clarc.mean"


@mitigations.register
class AClArC(Mitigation):
    """Trains the last layer also on features that all have the mean shortcut.

    Attributes:
        epochs: of stage 2.
        rank: axes on which all features have the mean shortcut; 1 is the paper's single direction.
    """

    name: ClassVar[str] = "a_clarc"
    paper: ClassVar[str] = "Anders et al. 2022"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(h_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} \log p_{y_n}(h'_n), \\ "
        r"h'_n &= h_n - P (h_n - m), \quad m = \underset{n}{\operatorname{mean}}\, h(x_n), \\ "
        r"P &= \text{projection onto axes of } v_k, \quad v_k \propto \underset{n : y_n = k} "
        r"{\operatorname{mean}} \left( h(x_n) - h(\tilde{x}_n) \right)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epochs: Annotated[int, Field(ge=1)] = 10
    rank: Annotated[int, Field(ge=1)] = 1

    @property
    def stages(self) -> int:
        return 2

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module) or with_unchangeable_head(module)

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        width = int(module.head.in_features)  # pyrefly: ignore
        return {ONTO: torch.zeros(width, width), MEAN: torch.zeros(width)}

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        hidden = net.features(batch.inputs).detach()
        onto, mean = (net.parameters[name].detach() for name in (ONTO, MEAN))
        changed = hidden - (hidden - mean) @ onto
        return Terms(
            right_answer=cross_entropy(net.head(hidden), batch.labels),
            right_reason=strength * cross_entropy(net.head(changed), batch.labels),
        )

    def fit(self, trainer: Trainer) -> Fitted:
        first = trainer.train(ERM())
        onto, means = [], []
        for row, draw in enumerate(trainer.draws):
            with_it, without_it = paired_features(trainer, first, row, 0)
            onto.append(projection(directions(with_it - without_it, draw.train.labels, draw.classes), self.rank))
            means.append(with_it.mean(0))
        return fine_tuned(trainer, self, first, {ONTO: torch.stack(onto), MEAN: torch.stack(means)}, self.epochs)
