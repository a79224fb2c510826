r"""Certified training inside the mask (IBP-Ex: Heo, Piratla, Wicker, Weller, NeurIPS 2023; bounds: Gowal et al. 2018).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n -log softmax(w_n)_y
    w_nk = least z_y if k = y, else greatest z_k,   over x' in B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

with bounds from interval arithmetic: no content of the masked pixels has a greater error than the second term. Inputs
without a mask have no perturbation, and are left out of it. Heo et al. weigh the terms with alpha and 1 - alpha, and
let epsilon grow and alpha fall in training; here both stay, and strength is (1 - alpha) / alpha.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations, true_class
from ..intervals import logit_bounds
from ..network import Net
from ..perturbations import annotated_error, box_in_mask
from ..restriction import restricted


@mitigations.register
class IBPEx(Mitigation):
    """Trains on a bound of the worst that the masked pixels can show, too."""

    name: ClassVar[str] = "ibp_ex"
    paper: ClassVar[str] = "Heo et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \log \operatorname{softmax}(w_n)_{y_n}, \\ "
        r"w_{nk} &= \begin{cases} \min_{x' \in B_n} z_k(x') & k = y_n \\ "
        r"\max_{x' \in B_n} z_k(x') & k \neq y_n \end{cases} \\ "
        r"B_n &= \{ x' \in [0, 1]^D : |x' - x_n| \le \epsilon A_n \}, \quad a_n = [A_n \neq 0]"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    epsilon: Annotated[float, Field(gt=0, le=1)] = 1.0

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, inside, there = restricted(net, batch)
        bounds = logit_bounds(inside, box_in_mask(there, self.epsilon))
        own = true_class(batch.labels, logits.shape[-1])
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * annotated_error(torch.where(own, bounds.lower, bounds.upper), batch),
        )
