r"""Selective last-layer fine-tuning by disagreement (SELF; LaBonte, Muthukumar, Kumar, NeurIPS 2023).

Stage 1 is ERM on the training inputs without a held-out share, twice: for all epochs, and stopped early. Stage 2 takes
the `inputs` held-out inputs on which the two networks disagree most, and trains the last layer W, weight and bias, from
its values after stage 1, by `steps` steps of gradient descent on

    loss = sum_{n in S} 1 / (K_S M_{y_n}) * -log p_y(x_n)
    S = the held-out inputs with the greatest sum_k |p_k(x_n) - p_k^early(x_n)|

M_y is the number of inputs of label y in S, K_S the number of labels in S: every class counts alike, and no groups are
used. A network learns the shortcut first, so that the early network misses what the minority needs. No strength.

Deviations: disagreement is the distance in total variation; full batches in place of class-balanced ones; the early
network has `first_epochs` of the training's epochs, where the paper stops after 1, 2 or 5; `inputs` is 100, where the
paper chooses among 20, 100 and 500 by worst-group validation accuracy.

Not run where every training input's shortcut shows the value of the input's label: the inputs on which the networks
disagree are then hard inputs and not a minority.

On decoy digits at a correlation of 0.95, with 40 to 73 minority inputs, `rrrbench run mitigations-quick` measures an
accuracy of 0.85 where the shortcut is random; ERM's is 0.88.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ..base import mitigations
from ..fitting import Fitted, Trainer
from ..last_layer import Head, HeldOutShare, descended, head_of_run, held_out, with_new_heads


@mitigations.register
class SELF(HeldOutShare):
    """Retrains the last layer on held-out inputs on which the network and its early-stopped self disagree.

    Attributes:
        first_epochs: epochs of the early-stopped network as a share of the training's epochs, at least 1 epoch.
        inputs: held-out inputs of stage 2; all of them where there are fewer.
    """

    name: ClassVar[str] = "self"
    paper: ClassVar[str] = "LaBonte et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L}_2 &= -\sum_{n \in S} \frac{\log p_{y_n}(x_n)}{K_S M_{y_n}}, \\ "
        r"S &= \text{the held-out inputs with the greatest } \|p(x_n) - p^{\text{early}}(x_n)\|_1"
    )

    first_epochs: Annotated[float, Field(gt=0, le=1)] = 0.1
    inputs: Annotated[int, Field(ge=1)] = 100
    steps: Annotated[int, Field(ge=1)] = 500

    def fit(self, trainer: Trainer) -> Fitted:
        out = held_out(trainer, self.share)
        early = self.first_stage(trainer.altered(epochs=max(1, round(self.first_epochs * trainer.epochs))), out)
        first = self.first_stage(trainer, out)
        early_logits = trainer.per_input(early, lambda net, batch: net(batch.inputs)).double().cpu()

        def new_head(row: int, column: int, hidden: Float[np.ndarray, "n width"]) -> Head:
            head, labels = head_of_run(first, row, column), trainer.draws[row].train.labels[out[row]]
            features = torch.from_numpy(hidden)[out[row]]
            logits = F.linear(features, *head)
            chosen = self.disputed(logits, early_logits[row, column, out[row]])
            return descended(features[chosen], labels[chosen], head, balanced(labels[chosen]), steps=self.steps)

        return with_new_heads(trainer, first, new_head)

    def disputed(
        self, logits: Float[Tensor, "n classes"], early_logits: Float[Tensor, "n classes"]
    ) -> Int[Tensor, "k"]:
        """The inputs on which two networks disagree most."""
        apart = (logits.softmax(-1) - early_logits.softmax(-1)).abs().sum(-1)
        return apart.topk(min(self.inputs, len(apart))).indices


def balanced(labels: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Weights that sum to 1, and over the inputs of each label that occurs to the same."""
    counts = labels.bincount()
    return 1 / (counts[labels] * (counts > 0).sum()).double()
