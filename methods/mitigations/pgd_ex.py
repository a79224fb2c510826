r"""Adversarial training inside the mask (PGD-Ex: Heo, Piratla, Wicker, Weller, NeurIPS 2023).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n max_{x' in B_n} -log p_y(x')
    B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

The maximum is sought by `steps` sign-gradient steps of epsilon / steps from x_n. Inputs without a mask have no
perturbation and count 0 in the right-reason term. Heo et al. give both terms the weight 1.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..network import Net
from ..perturbations import annotated_error, box_in_mask, worst_in_box
from ..restriction import restricted


@mitigations.register
class PGDEx(Mitigation):
    """Trains also on the worst content of the mask that an attack finds."""

    name: ClassVar[str] = "pgd_ex"
    paper: ClassVar[str] = "Heo et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \max_{x' \in B_n} (-\log p_{y_n}(x')), \\ "
        r"B_n &= \{ x' \in [0, 1]^D : |x' - x_n| \le \epsilon A_n \}, \quad a_n = [A_n \neq 0]"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epsilon: Annotated[float, Field(gt=0, le=1)] = 1.0
    steps: Annotated[int, Field(ge=1)] = 3

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, touched_net, touched_batch = restricted(net, batch)
        frozen = touched_net.detached()
        worst = worst_in_box(
            lambda inputs: F.cross_entropy(frozen(inputs), batch.labels, reduction="sum"),
            touched_batch.inputs,
            box_in_mask(touched_batch, self.epsilon),
            self.epsilon,
            self.steps,
        )
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * annotated_error(touched_net(worst), batch),
        )
