r"""Robustly right for the right reasons (R4: Ghitu, Piratla, Wicker, TMLR 2025).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d A_nd ( |l_nd| + |u_nd| )
    l_nd <= d/dx_d -log p_y(x') <= u_nd   for x' in B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

with bounds from interval arithmetic, forward and backward: no content of the masked pixels has a larger gradient
there. As epsilon goes to 0 this is twice an absolute RRR on the cross-entropy. Ghitu et al. divide by the number of
entries D as well: their strengths are ours times D, and their boxes are not cut at 0 and 1. Their first term takes
softmax(z) for the logits: `double_softmax` does that too, and leaves the second term as it is.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations, true_class
from ..intervals import Interval, input_gradient_bounds, probability_bounds
from ..network import Net
from ..perturbations import box_in_mask
from ..restriction import restricted


@mitigations.register
class R4(Mitigation):
    """Penalises bounds of the input gradient inside the mask, whatever is shown there."""

    name: ClassVar[str] = "r4"
    paper: ClassVar[str] = "Ghitu et al. 2025"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d A_{nd} \left( |l_{nd}| + |u_{nd}| \right), \\ "
        r"l_{nd} &\le -\frac{\partial \log p_{y_n}}{\partial x_d}(x') \le u_{nd} \quad \text{for all } x' \in B_n, \\ "
        r"B_n &= \{ x' \in [0, 1]^D : |x' - x_n| \le \epsilon A_n \}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.5
    double_softmax: Annotated[bool, Field(description="in the right answer's loss, as released")] = False

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        def error_gradient(logits: Interval) -> Interval:
            true = true_class(batch.labels, logits.lower.shape[-1]).to(batch.inputs)
            return probability_bounds(logits).map(lambda probabilities: probabilities - true)

        logits, inside, there = restricted(net, batch)
        bounds = input_gradient_bounds(inside, box_in_mask(there, self.epsilon), error_gradient)
        largest = there.masks * (bounds.lower.abs() + bounds.upper.abs())
        return Terms(
            right_answer=cross_entropy(logits.softmax(-1) if self.double_softmax else logits, batch.labels),
            right_reason=strength * largest.flatten(1).sum(1).mean(),
        )
