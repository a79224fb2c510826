r"""R4 with an attack on the explanation (PGD-R4: Ghitu, Piratla, Wicker, TMLR 2025).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n max_{x' in B_n} sum_d ( A_nd * d/dx_d log p_y(x') )^2
    B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

The maximum is sought by `steps` sign-gradient steps of epsilon / steps from x_n. The released code detaches the penalty
from the parameters; here the penalty is differentiated.
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
    """Penalises input gradients inside the mask, at the content of the mask where an attack finds them largest."""

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
        logits, touched_net, touched_batch = restricted(net, batch)

        def penalties(net: Net, inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch"]:
            perturbed = touched_batch._replace(inputs=inputs)
            gradient, _ = masked_input_gradient(net, perturbed, lambda logits: log_prob_true(logits, perturbed))
            return gradient.square().sum(1)

        frozen = touched_net.detached()
        worst = worst_in_box(
            lambda inputs: penalties(frozen, inputs).sum(),
            touched_batch.inputs,
            box_in_mask(touched_batch, self.epsilon),
            self.epsilon,
            self.steps,
        )
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * penalties(touched_net, worst).mean(),
        )
