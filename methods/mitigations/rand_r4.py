r"""R4 with random perturbations (Rand-R4: Ghitu, Piratla, Wicker, TMLR 2025).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n max_s sum_d ( A_nd * d/dx_d log p_y(x_ns) )^2

over `samples` points x_ns of B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }, drawn uniformly for each input and
step.
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
from ..gradients import masked_input_gradient
from ..network import Net
from ..perturbations import box_in_mask
from ..restriction import restricted
from ..targets import log_prob_true


@mitigations.register
class RandR4(Mitigation):
    """Penalises input gradients inside the mask, at the random content of the mask where they are largest."""

    name: ClassVar[str] = "rand_r4"
    paper: ClassVar[str] = "Ghitu et al. 2025"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \max_s \sum_d \left( A_{nd}\, \frac{\partial \log p_{y_n}}{\partial "
        r"x_d}(x_{ns}) \right)^2, \\ "
        r"x_{ns} &\sim U(B_n), \quad B_n = \{ x' \in [0, 1]^D : |x' - x_n| \le \epsilon A_n \}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.5
    samples: Annotated[int, Field(ge=1)] = 4

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, touched_net, touched_batch = restricted(net, batch)
        box = box_in_mask(touched_batch, self.epsilon)

        def penalty(fractions: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch"]:
            perturbed = touched_batch._replace(inputs=box.lower + fractions * (box.upper - box.lower))
            gradient, _ = masked_input_gradient(touched_net, perturbed, lambda logits: log_prob_true(logits, perturbed))
            return gradient.square().sum(1)

        penalties = [penalty(fractions) for fractions in touched_batch.draws["fractions"].unbind(1)]
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * torch.stack(penalties, 1).amax(1).mean(),
        )

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        shape = (len(batch.labels), self.samples, *batch.inputs.shape[1:])
        fractions = moved(torch.rand(shape, generator=generator), batch.inputs.device, batch.inputs.dtype)
        return batch._replace(draws={**batch.draws, "fractions": fractions})
