r"""RRR on a smoothed explanation (Smooth-R3; Ghitu, Piratla, Wicker, TMLR 2025; SmoothGrad: Smilkov et al. 2017).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d ( A_nd * mean_s d/dx_nd sum_k log p_k(x_n + e_ns) )^2

The `samples` noises e_ns have entries from N(0, sigma^2), are drawn for each input and step, and are not cut at 0 and
1. The target is RRR's and not the cross-entropy of Ghitu et al., whose gradient vanishes on fitted points.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..choosing import moved
from ..gradients import masked_input_gradients
from ..network import Net
from ..targets import log_prob_sum


@mitigations.register
class SmoothRRR(Mitigation):
    """Penalises the mean input gradient over noisy copies of an input, inside the mask."""

    name: ClassVar[str] = "smooth_rrr"
    paper: ClassVar[str] = "Ghitu et al. 2025"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d \left( A_{nd}\, \underset{s}{\operatorname{mean}} "
        r"\frac{\partial}{\partial x_{nd}} \sum_k \log p_k(x_n + e_{ns}) \right)^2, \\ "
        r"e_{ns} &\sim \mathcal{N}(0, \sigma^2 I)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    sigma: Annotated[float, Field(gt=0)] = 0.1
    samples: Annotated[int, Field(ge=1)] = 4

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        points = batch.inputs.unsqueeze(1) + self.sigma * batch.draws["noise"]
        gradient = masked_input_gradients(net, batch, points, log_prob_sum).mean(1)
        return Terms(
            right_answer=cross_entropy(net(batch.inputs), batch.labels),
            right_reason=strength * gradient.square().sum(1).mean(),
        )

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        shape = (len(batch.labels), self.samples, *batch.inputs.shape[1:])
        noise = moved(torch.randn(shape, generator=generator), batch.inputs.device, batch.inputs.dtype)
        return batch._replace(draws={**batch.draws, "noise": noise})
