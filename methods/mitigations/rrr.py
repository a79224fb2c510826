r"""Right for the right reasons (Ross, Hughes, Doshi-Velez: IJCAI 2017, eq. 1).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d ( A_nd * d/dx_nd sum_k log p_k(x_n) )^2

A is True where an input must not matter: the mask, or with `told = "outside core"` all but the object. Ross et al. sum
over the batch and feed 0..255; `from_published` converts their strengths. The default target sum_k log p_k needs no
label and does not vanish on fitted points; the alternative targets are the penalties that later papers print under the
name RRR (`..targets`).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Terms, cross_entropy, mitigations
from ..choosing import moved
from ..gradients import masked_input_gradient
from ..network import Net
from ..targets import DEGENERATE, TARGETS, TargetName
from ..told import ToldWhere


@mitigations.register
class RRR(ToldWhere):
    """Penalises input gradients where an input must not matter."""

    name: ClassVar[str] = "rrr"
    paper: ClassVar[str] = "Ross et al. 2017"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d \left( A_{nd}\, \frac{\partial}{\partial x_{nd}} \sum_k \log "
        r"p_k(x_n) \right)^2"
    )

    target: TargetName = "log_prob_sum"

    @property
    def degenerate(self) -> bool:
        return self.target in DEGENERATE

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        gradient, logits = masked_input_gradient(
            net, self.forbidding(batch), lambda logits: TARGETS[self.target](logits, batch)
        )
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * gradient.square().sum(1).mean(),
        )

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        if self.target != "random_projection":
            return batch
        coins = torch.randint(0, 2, (len(batch.labels), classes), generator=generator)
        return batch._replace(draws={"signs": moved(2 * coins - 1, batch.inputs.device, batch.inputs.dtype)})
