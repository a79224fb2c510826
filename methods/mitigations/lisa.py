r"""Selective mixing (LISA: Yao et al., "Improving out-of-distribution robustness via selective augmentation", ICML
2022).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -(l_n log p_y(x~_n) + (1 - l_n) log p_y'(x~_n))
    x~_n = l_n x_n + (1 - l_n) x_m,   l_n ~ Beta(alpha, alpha),   y' the label of the partner m

The partner m of each input is drawn from the batch by a rule. With probability `same_label` it has n's label and
another shortcut value: the mixture's shortcut then says nothing of its label. Else it has another label and n's
shortcut value: the mixture's shortcut is the same for both labels. a_n = 0 for an input without such a partner in the
batch, else 1. `mixup` is the control, whose partners are anybody.

Deviations. The paper trains on mixtures alone, to which strengths far above 1 come near. The released code takes as
many inputs of each group into a batch, which is group balancing too; here batches are those of ERM, so that minority
inputs take part in more mixtures but not in more of the right-answer term. Of more than four groups the released code
draws four and pairs them as if they were two labels times two shortcut values, which is neither of the rules. Whole
images are mixed, not patches (CutMix).
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool, Int
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch
from ..base import Supervision, mitigations
from ..choosing import choose_candidate, moved
from .mixup import Mixup


@mitigations.register
class LISA(Mixup):
    """Trains also on mixtures of inputs that share the label or the shortcut value alone.

    Attributes:
        same_label: the probability of the rule of the same label.
    """

    name: ClassVar[str] = "lisa"
    paper: ClassVar[str] = "Yao et al. 2022"
    equation: ClassVar[str] = (
        rf"{Mixup.equation}, \\ "
        r"m &\in \{m : y_m = y_n, s_m \neq s_n\} \text{ or } \{m : y_m \neq y_n, s_m = s_n\}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True

    alpha: Annotated[float, Field(gt=0)] = 2.0
    same_label: Annotated[float, Field(ge=0, le=1)] = 0.5

    def partners(self, batch: Batch, generator: torch.Generator) -> tuple[Int[Tensor, "batch"], Bool[Tensor, "batch"]]:
        coins = torch.rand(len(batch.labels), 1, generator=generator) < self.same_label
        by_label = moved(coins, batch.inputs.device)
        same_label = batch.labels[:, None] == batch.labels
        same_shortcut = batch.shortcuts[:, None] == batch.shortcuts
        candidates = torch.where(by_label, same_label & ~same_shortcut, ~same_label & same_shortcut)
        paired = candidates.any(1)
        return choose_candidate(candidates | ~paired[:, None], generator), paired
