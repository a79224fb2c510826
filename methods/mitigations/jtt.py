r"""Just train twice (Liu et al., ICML 2021, section 4 and algorithm 1).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n e_n * -log p_y(x_n)

e_n = 1 if a first network, trained by ERM for a few epochs, misclassifies training input n, else 0. Misclassified
inputs thus count 1 + strength times, which is the paper's lambda_up (20 to 100 there). The second network is trained
from scratch. No groups are used. The paper chooses epochs and lambda_up by worst-group validation accuracy, rrrbench by
its selection rules.

Not run where every training input's shortcut shows the value of the input's label: the inputs that the first network
misclassifies are then hard inputs and not a minority.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, cross_entropy, mitigations, weighted_cross_entropy
from ..fitting import Fitted, Trainer
from ..network import Net
from .erm import ERM


@mitigations.register
class JTT(Mitigation):
    """Trains again, with more weight on inputs that a first network misclassified.

    Attributes:
        first_epochs: epochs of the first network as a share of the training's epochs, at least 1 epoch; the paper's
            share is 60 of 300.
    """

    name: ClassVar[str] = "jtt"
    paper: ClassVar[str] = "Liu et al. 2021"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} e_n \log p_{y_n}(x_n), \\ "
        r"e_n &= [\operatorname{argmax}_k p_k^{(1)}(x_n) \neq y_n]"
    )
    needs_minority: ClassVar[bool] = True
    carries: ClassVar[frozenset[str]] = frozenset({"missed"})

    first_epochs: Annotated[float, Field(gt=0, le=1)] = 0.2

    @property
    def stages(self) -> int:
        return 2

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits = net(batch.inputs)
        missed_error = weighted_cross_entropy(logits, batch.labels, batch.draws["missed"])
        return Terms(cross_entropy(logits, batch.labels), strength * missed_error)

    def fit(self, trainer: Trainer) -> Fitted:
        epochs = max(1, round(self.first_epochs * trainer.epochs))
        first = trainer.altered(epochs=epochs).train(ERM(), strengths=torch.zeros_like(trainer.strengths[:, :1]))
        missed = trainer.per_input(first, misclassified)[:, 0]
        return trainer.train(self, given={"missed": missed})


def misclassified(net: Net, batch: Batch) -> Bool[Tensor, "batch"]:
    """Whether the most probable class is not the label."""
    return net(batch.inputs).argmax(-1) != batch.labels
