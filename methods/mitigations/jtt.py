r"""Just train twice (Liu et al., ICML 2021, section 4 and algorithm 1).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n e_n * -log p_y(x_n)

e_n = 1 if a first network, trained by ERM for a few epochs, misclassifies training input n, else 0: such inputs count
1 + strength times, the paper's lambda_up (20 to 100 there). The second network is trained from scratch. No groups are
used; the paper chooses epochs and lambda_up by worst-group validation accuracy, rrrbench by its selection rules.

Where every input's shortcut says its label, what the first network misses is no minority but what is hard: not run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, cross_entropy, mitigations, weighted_cross_entropy
from ..network import Net
from .erm import ERM

if TYPE_CHECKING:
    from ...benchmark.engine.trainer import Fitted, Trainer


@mitigations.register
class JTT(Mitigation):
    """Trains again, with more weight on what a first network missed.

    Attributes:
        first_epochs: of the first network, as a share of the training's epochs, at least one; the paper's 60 of 300.
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
        again = weighted_cross_entropy(logits, batch.labels, batch.draws["missed"])
        return Terms(cross_entropy(logits, batch.labels), strength * again)

    def fit(self, trainer: Trainer) -> Fitted:
        epochs = max(1, round(self.first_epochs * trainer.training.epochs))
        first = trainer.altered(epochs=epochs).train(ERM(), strengths=torch.zeros_like(trainer.strengths[:, :1]))
        missed = trainer.per_input(first, misclassified)[:, 0]
        return trainer.train(self, given={"missed": missed})


def misclassified(net: Net, batch: Batch) -> Bool[Tensor, "batch"]:
    """Whether the most probable class is not the label."""
    return net(batch.inputs).argmax(-1) != batch.labels
