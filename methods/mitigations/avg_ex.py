r"""Noise in the mask (Avg-Ex, the average over perturbations of Heo, Piratla, Wicker, Weller, NeurIPS 2023).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n -log p_y( x_n + A_n * e_n ),   e_nd ~ N(0, sigma^2)

The noise is drawn for each input and step, and not cut at 0 and 1. Inputs without a mask have no perturbation and count
0 in the right-reason term. Heo et al. give both terms the weight 1.
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
from ..network import Net
from ..perturbations import annotated_error
from ..restriction import restricted


@mitigations.register
class AvgEx(Mitigation):
    """Trains also on copies of the inputs with noise in the mask."""

    name: ClassVar[str] = "avg_ex"
    paper: ClassVar[str] = "Heo et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \log p_{y_n}(x_n + A_n \odot e_n), \\ "
        r"e_{nd} &\sim \mathcal{N}(0, \sigma^2), \quad a_n = [A_n \neq 0]"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    sigma: Annotated[float, Field(gt=0)] = 1.0

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, touched_net, touched_batch = restricted(net, batch)
        noisy = touched_batch.inputs + self.sigma * touched_batch.masks * touched_batch.draws["noise"]
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * annotated_error(touched_net(noisy), batch),
        )

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        noise = moved(torch.randn(batch.inputs.shape, generator=generator), batch.inputs.device, batch.inputs.dtype)
        return batch._replace(draws={**batch.draws, "noise": noise})
