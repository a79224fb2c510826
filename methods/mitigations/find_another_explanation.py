r"""Find another explanation (Ross et al. 2017, section 3.3): RRR without annotated masks.

    A_0 = 0,   f_t = argmin RRR(A_t),   A_{t+1} = A_t or M_c[f_t]

M_c[f] marks, for each training input, the features whose gradient of the predicted probability exceeds c times the
largest one. Every f_t is trained from scratch. The paper keeps all the f_t for a person to choose from; a run here
is f_t at t = `iterations`, and passes those before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, mitigations
from ..gradients import input_gradient, log_odds
from ..network import Net
from .erm import ERM
from .rrr import RRR

if TYPE_CHECKING:
    from ...benchmark.engine.trainer import Fitted, Trainer


@mitigations.register
class FindAnotherExplanation(Mitigation):
    """Forbids what the last network looked at, and trains again."""

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
        """M_c: |d max_k p_k / dx| > c * its largest entry, for each input.

        Taken of the log-odds of the predicted class, whose gradient has the same direction and does not underflow.
        """
        gradient, _ = input_gradient(net, batch.inputs, log_odds)
        size = gradient.flatten(1).abs()
        return (size > self.cutoff * size.amax(1, keepdim=True)).view_as(gradient)
