r"""RRR on expected gradients (attribution priors: Erion et al., Nature MI 2021, section "Expected gradients").

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d ( A_nd * EG_nd )^2
    EG_nd = mean_s (x_n - r_ns)_d * d/dx_d sum_k log p_k( r_ns + a_ns (x_n - r_ns) ),   a ~ U(0, 1)

The `references` r are drawn for each input and step from the batch's inputs of another label: where the shortcut
follows the label, references show another shortcut value. A reference with the same shortcut value has x - r = 0 in the
mask, and hides the gradient there from the penalty. Erion et al. draw references from all training inputs, and step on
the two terms in turn. A single reference suffices (their supplement B), so 1 is the default. The "expected gradients"
of CDEP sum absolute values and are a different penalty.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..choosing import choose_candidates, moved
from ..gradients import at_touched, masked_input_gradients
from ..network import Net
from ..targets import log_prob_sum


@mitigations.register
class ExpectedGradients(Mitigation):
    """Penalises expected gradients inside the mask."""

    name: ClassVar[str] = "expected_gradients"
    paper: ClassVar[str] = "Erion et al. 2021"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d (A_{nd}\, \mathrm{EG}_{nd})^2, \\ "
        r"\mathrm{EG}_{nd} &= \underset{s}{\operatorname{mean}} (x_n - r_{ns})_d \frac{\partial \sum_k \log "
        r"p_k}{\partial x_d} \left( r_{ns} + \alpha_{ns} (x_n - r_{ns}) \right), \quad \alpha_{ns} \sim U(0, 1)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    references: Annotated[int, Field(ge=1)] = 1

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        references, fractions = batch.draws["references"], batch.draws["fractions"]
        difference = batch.inputs.unsqueeze(1) - references
        points = references + fractions.view(*fractions.shape, *[1] * (difference.dim() - 2)) * difference
        slopes = masked_input_gradients(net, batch, points, log_prob_sum)
        attribution = (at_touched(difference.flatten(0, 1), batch).view_as(slopes) * slopes).mean(1)
        return Terms(
            right_answer=cross_entropy(net(batch.inputs), batch.labels),
            right_reason=strength * attribution.square().sum(1).mean(),
        )

    def augment(self, batch: Batch, classes: int, generator: torch.Generator) -> Batch:
        other_label = batch.labels[:, None] != batch.labels
        other_label = other_label | ~other_label.any(1, keepdim=True)  # a batch with a single label
        chosen = choose_candidates(other_label, self.references, generator)
        fractions = moved(torch.rand(chosen.shape, generator=generator), batch.inputs.device, batch.inputs.dtype)
        draws = {"references": batch.inputs[chosen], "fractions": fractions}
        return batch._replace(draws={**batch.draws, **draws})
