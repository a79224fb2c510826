r"""RRR on integrated gradients (Sundararajan et al. 2017; as a penalty: Liu & Avci 2019, Erion et al. 2021).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d ( A_nd * IG_nd )^2
    IG_nd = x_nd * mean_j d/dx_d sum_k log p_k(a_j x_n),   a_j = (j - 1/2) / steps,  j = 1..steps

The baseline is black, so the penalty does not see black pixels in the mask. `expected_gradients` has no such blind
spot.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..gradients import at_touched, masked_input_gradients
from ..network import Net
from ..targets import log_prob_sum


@mitigations.register
class IntegratedGradientsPenalty(Mitigation):
    """Penalises integrated gradients inside the mask."""

    name: ClassVar[str] = "integrated_gradients_penalty"
    paper: ClassVar[str] = "Erion et al. 2021"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d (A_{nd}\, \mathrm{IG}_{nd})^2, \\ "
        r"\mathrm{IG}_{nd} &= x_{nd}\, \underset{j}{\operatorname{mean}} \frac{\partial \sum_k \log p_k}{\partial x_d} "
        r"(\alpha_j x_n), \quad \alpha_j = \frac{j - 1/2}{\text{steps}}, \quad j = 1, \dots, \text{steps}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    steps: Annotated[int, Field(ge=1)] = 4

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        points = torch.stack([(j + 0.5) / self.steps * batch.inputs for j in range(self.steps)], 1)
        slopes = masked_input_gradients(net, batch, points, log_prob_sum).mean(1)
        attribution = at_touched(batch.inputs, batch) * slopes
        return Terms(
            right_answer=cross_entropy(net(batch.inputs), batch.labels),
            right_reason=strength * attribution.square().sum(1).mean(),
        )
