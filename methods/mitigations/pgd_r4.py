r"""R4 with an attack on the explanation (PGD-R4: Ghitu, Piratla, Wicker, TMLR 2025).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n max_{x' in B_n} sum_d ( A_nd * d/dx_d log p_y(x') )^2
    B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

The maximum is sought by `steps` sign-gradient steps of epsilon / steps from x_n. The released code detaches the
penalty from the parameters; this one does not.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..gradients import masked_input_gradient
from ..network import Net
from ..perturbations import box_in_mask, worst_in_box
from ..restriction import restricted
from ..targets import log_prob_true


@mitigations.register
class PGDR4(Mitigation):
    """Penalises the input gradient inside the mask at the contents, found by an attack, where it is largest."""

    name: ClassVar[str] = "pgd_r4"
    paper: ClassVar[str] = "Ghitu et al. 2025"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \max_{x' \in B_n} \sum_d \left( A_{nd}\, \frac{\partial \log "
        r"p_{y_n}}{\partial x_d}(x') \right)^2, \\ "
        r"B_n &= \{ x' \in [0, 1]^D : |x' - x_n| \le \epsilon A_n \}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epsilon: Annotated[float, Field(gt=0, le=1)] = 0.5
    steps: Annotated[int, Field(ge=1)] = 3

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, inside, there = restricted(net, batch)

        def penalties(net: Net, inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch"]:
            shown = there._replace(inputs=inputs)
            gradient, _ = masked_input_gradient(net, shown, lambda logits: log_prob_true(logits, shown))
            return gradient.square().sum(1)

        frozen = inside.detached()
        worst = worst_in_box(
            lambda inputs: penalties(frozen, inputs).sum(),
            there.inputs,
            box_in_mask(there, self.epsilon),
            self.epsilon,
            self.steps,
        )
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * penalties(inside, worst).mean(),
        )
