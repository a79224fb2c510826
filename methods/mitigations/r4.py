r"""Robustly right for the right reasons (R4: Ghitu, Piratla, Wicker, TMLR 2025).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d A_nd ( |l_nd| + |u_nd| )
    l_nd <= d/dx_d -log p_y(x') <= u_nd   for x' in B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

The bounds l and u come from interval arithmetic, forward and backward: no content of the masked pixels has a larger
gradient in the mask. As epsilon goes to 0, the right-reason term becomes twice an RRR with the absolute gradient of the
cross-entropy. Ghitu et al. divide by the number of entries D, so that their strengths are ours times D, and do not cut
the boxes at 0 and 1. Their right-answer term takes softmax(z) for the logits; `double_softmax` does so too, and leaves
the right-reason term unchanged.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations, true_class
from ..intervals import Interval, input_gradient_bounds, probability_bounds, without_gradient_bounds
from ..network import Net
from ..perturbations import box_in_mask
from ..restriction import restricted


@mitigations.register
class R4(Mitigation):
    """Penalises bounds of the input gradient inside the mask, over all contents of the mask."""

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
    double_softmax: Annotated[bool, Field(description="softmax twice in the right-answer term, as released")] = False

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_gradient_bounds(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        def error_gradient(logits: Interval) -> Interval:
            true = true_class(batch.labels, logits.lower.shape[-1]).to(batch.inputs)
            return probability_bounds(logits).map(lambda probabilities: probabilities - true)

        logits, touched_net, touched_batch = restricted(net, batch)
        bounds = input_gradient_bounds(touched_net, box_in_mask(touched_batch, self.epsilon), error_gradient)
        largest = touched_batch.masks * (bounds.lower.abs() + bounds.upper.abs())
        return Terms(
            right_answer=cross_entropy(logits.softmax(-1) if self.double_softmax else logits, batch.labels),
            right_reason=strength * largest.flatten(1).sum(1).mean(),
        )
