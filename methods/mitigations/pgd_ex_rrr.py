r"""PGD-Ex + Grad-Reg (Heo, Piratla, Wicker, Weller, NeurIPS 2023, section 4): robust training and RRR at once.

    right reason = strength * ( that of pgd_ex at strength 1  +  rrr_weight * that of rrr at strength 1 )

Heo et al. penalise the norm of the gradient of the sum of logits, which a softmax does not see. The target here is the
sum of log-probabilities, as in Ross et al. 2017 (`.rrr`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Terms, mitigations
from ..network import Net
from .pgd_ex import PGDEx
from .rrr import RRR


@mitigations.register
class PGDExRRR(PGDEx):
    """Trains also on the worst content of the mask that an attack finds, and penalises input gradients there."""

    name: ClassVar[str] = "pgd_ex+rrr"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda (E + w\, G), \quad w = "
        r"\text{the field rrr weight}, \\ "
        r"E &= \underset{n}{\operatorname{mean}} a_n \max_{x' \in B_n} (-\log p_{y_n}(x')), \\ "
        r"G &= \underset{n}{\operatorname{mean}} \sum_d \left( A_{nd}\, \frac{\partial}{\partial x_{nd}} \sum_k \log "
        r"p_k(x_n) \right)^2, \\ "
        r"B_n &= \{ x' \in [0, 1]^D : |x' - x_n| \le \epsilon A_n \}, \quad a_n = [A_n \neq 0]"
    )

    rrr_weight: Annotated[float, Field(gt=0)] = 0.1

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        robust, gradient = super().terms(net, batch, strength), RRR().terms(net, batch, strength)
        return Terms(robust.right_answer, robust.right_reason + self.rrr_weight * gradient.right_reason)
