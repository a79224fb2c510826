r"""Certified training inside the mask (IBP-Ex: Heo, Piratla, Wicker, Weller, NeurIPS 2023; bounds: Gowal et al. 2018).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n -log softmax(w_n)_y
    w_nk = least z_y if k = y, else greatest z_k,   over x' in B_n = { x' in [0, 1]^D : |x' - x_n| <= epsilon A_n }

The bounds of the logits z come from interval arithmetic, so that no content of the masked pixels has a greater error
than -log softmax(w_n)_y. Inputs without a mask have no perturbation and count 0 in the right-reason term. Heo et al.
weigh the terms with alpha and 1 - alpha, and let epsilon grow and alpha fall in training; here epsilon and alpha are
constant, and strength is (1 - alpha) / alpha.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations, true_class
from ..intervals import logit_bounds, without_logit_bounds
from ..network import Net
from ..perturbations import annotated_error, box_in_mask
from ..restriction import restricted


@mitigations.register
class IBPEx(Mitigation):
    """Trains also on a bound of the error over all contents of the mask."""

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

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_logit_bounds(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, touched_net, touched_batch = restricted(net, batch)
        bounds = logit_bounds(touched_net, box_in_mask(touched_batch, self.epsilon))
        is_label = true_class(batch.labels, logits.shape[-1])
        return Terms(
            right_answer=cross_entropy(logits, batch.labels),
            right_reason=strength * annotated_error(torch.where(is_label, bounds.lower, bounds.upper), batch),
        )
