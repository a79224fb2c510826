r"""The whole input gradient penalised (Drucker & Le Cun 1992, "double backpropagation"; Ross & Doshi-Velez 2018).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d ( d/dx_nd sum_k log p_k(x_n) )^2

RRR with every pixel masked. Its gain over `erm` is due to smoothness; the gain of `rrr` over `input_gradient_l2` is due
to the mask. Drucker and Le Cun differentiate the error; the target here is RRR's, so that `rrr` and `input_gradient_l2`
differ in the mask alone.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, mitigations
from ..network import Net
from .rrr import RRR


@mitigations.register
class InputGradientL2(Mitigation):
    """Penalises input gradients at every pixel."""

    name: ClassVar[str] = "input_gradient_l2"
    paper: ClassVar[str] = "Drucker & Le Cun 1992"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d \left( \frac{\partial}{\partial x_{nd}} \sum_k \log p_k(x_n) "
        r"\right)^2"
    )

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        everywhere = torch.ones_like(batch.inputs, dtype=torch.bool)
        return RRR().terms(net, batch._replace(masks=everywhere, touched=None), strength)
