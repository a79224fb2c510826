r"""Right-reason class artifact compensation (RR-ClArC: Dreyer, Pahde, Anders, Samek, Lapuschkin, AAAI 2024).

Stage 1 is ERM. Stage 2 trains its last layer for `epochs` more:

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_k ( v_k . d/dh_n sum_j log p_j(x_n) )^2

h are the features (the last layer's input), v_k is the direction of class k's shortcut in the features of stage 1
(`..shortcut_directions`): RRR in the space of features, with a direction in place of a mask. The features stay as they
are, so that the directions stay right. A run at strength 0 is ERM's network.

Deviations. The directions come from pairs, an input and the same input with its mask filled, and so the method is told
masks; the paper fits concept activation vectors to inputs with and without the artifact, which at a correlation of 1
are the directions of the classes: unlearning them unlearns the classes. There is one direction for each class where the
paper corrects for one artifact of one class. The target is RRR's; the released loss has the mean over the classes of
log(p_k + 1e-5) and, by its settings, other targets, of which only this one runs as released. Maps' positions are
averaged by the network's pooling. The authors freeze convolutions, too, and search strengths from 0.05 to 1e7, so that
there is no published strength; they train 10 epochs by SGD.
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
from ..gradients import input_gradient
from ..last_layer import with_unchangeable_head, without_linear_head
from ..network import Net
from ..shortcut_directions import directions, fine_tuned, paired_features
from ..targets import log_prob_sum
from .erm import ERM

DIRECTIONS = "rr_clarc.directions"


@mitigations.register
class RRClArC(Mitigation):
    """Penalises the gradient along the shortcut's directions in the features.

    Attributes:
        epochs: of stage 2.
    """

    name: ClassVar[str] = "rr_clarc"
    paper: ClassVar[str] = "Dreyer et al. 2024"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_k \left( v_k \cdot \frac{\partial}{\partial h_n} \sum_j \log p_j(x_n) "
        r"\right)^2, \\ "
        r"v_k &\propto \underset{n : y_n = k}{\operatorname{mean}} \left( h(x_n) - h(\tilde{x}_n) \right), "
        r"\quad \|v_k\| = 1"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epochs: Annotated[int, Field(ge=1)] = 10

    @property
    def stages(self) -> int:
        return 2

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module) or with_unchangeable_head(module)

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        return {DIRECTIONS: torch.zeros(dataset.classes, module.head.in_features)}  # pyrefly: ignore

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        hidden = net.features(batch.inputs).detach()
        gradient, logits = input_gradient(net.head, hidden, lambda logits: log_prob_sum(logits, batch))
        along = gradient @ net.parameters[DIRECTIONS].detach().mT
        return Terms(cross_entropy(logits, batch.labels), strength * along.square().sum(1).mean())

    def fit(self, trainer: Trainer) -> Fitted:
        first = trainer.train(ERM())
        found = []
        for row, draw in enumerate(trainer.draws):
            with_it, without_it = paired_features(trainer, first, row, 0)
            found.append(directions(with_it - without_it, draw.train.labels, draw.classes))
        return fine_tuned(trainer, self, first, {DIRECTIONS: torch.stack(found)}, self.epochs)
