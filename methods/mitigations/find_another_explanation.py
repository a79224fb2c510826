r"""Find another explanation (Ross et al. 2017, section 3.3): RRR without annotated masks.

    A_0 = 0,   f_t = argmin RRR(A_t),   A_{t+1} = A_t or M_c[f_t]

M_c[f] marks, for each training input, the features whose gradient of the predicted probability exceeds c times the
input's largest gradient. Every network f_t is trained from scratch. The paper keeps all networks for a person to choose
from. A run here is f_t at t = `iterations`; the earlier networks f_1, f_2, ... are by-products (`passes`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, mitigations
from ..fitting import Fitted, Trainer
from ..gradients import input_gradient, predicted_log_odds
from ..network import Net
from .erm import ERM
from .rrr import RRR


@mitigations.register
class FindAnotherExplanation(Mitigation):
    """Trains again, with a penalty on the features that the previous network relied on."""

    name: ClassVar[str] = "find_another_explanation"
    paper: ClassVar[str] = "Ross et al. 2017"
    equation: ClassVar[str] = (
        r"f_t &= \operatorname{argmin}_f \mathcal{L}_{\mathrm{RRR}}(f; A_t), \quad A_0 = 0, \quad A_{t+1} = A_t \lor "
        r"M_c[f_t], \\ "
        r"M_c[f]_{nd} &= \left[ \left| \frac{\partial \max_k p_k}{\partial x_{nd}} \right| > c \max_j \left| "
        r"\frac{\partial \max_k p_k}{\partial x_{nj}} \right| \right]"
    )

    iterations: Annotated[int, Field(ge=1)] = 1
    cutoff: Annotated[float, Field(gt=0, lt=1)] = 0.67

    @property
    def stages(self) -> int:
        return 1 + self.iterations

    @property
    def passes(self) -> list[FindAnotherExplanation]:
        return [self.model_copy(update={"iterations": t}) for t in range(1, self.iterations)]

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        return RRR().terms(net, batch, strength)

    def fit(self, trainer: Trainer) -> Fitted:
        fitted = trainer.train(ERM(), strengths=torch.zeros_like(trainer.strengths[:, :1]))  # A_0 = 0 at any strength
        masks = trainer.per_input(fitted, self.largest_gradient_mask)
        networks = [trainer.train(self, masks=masks)]
        while len(networks) < self.iterations:
            masks = masks | trainer.per_input(networks[-1], self.largest_gradient_mask)
            networks.append(trainer.train(self, masks=masks))
        *passed, last = networks
        return replace(last, passed=passed)

    def largest_gradient_mask(self, net: Net, batch: Batch) -> Bool[Tensor, "batch *features"]:
        """M_c: for each input, where |d max_k p_k / dx| > c * the largest entry of |d max_k p_k / dx|.

        The gradient is taken of the predicted class's log-odds, because it has the same direction and does not
        underflow.
        """
        gradient, _ = input_gradient(net, batch.inputs, predicted_log_odds)
        size = gradient.flatten(1).abs()
        return (size > self.cutoff * size.amax(1, keepdim=True)).view_as(gradient)
