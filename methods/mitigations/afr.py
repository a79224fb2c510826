r"""Automatic feature reweighting (Qiu et al., ICML 2023, section 4).

Stage 1 is ERM on the training inputs without a held-out share, as in `.dfr`. Stage 2 trains the last layer W, weight
and bias, from its values W_ERM after stage 1, on the M held-out inputs, by `steps` steps of gradient descent on

    loss = sum_n mu_n * -log p_y(x_n)  +  anchor * ||W - W_ERM||^2
    mu_n proportional to exp(-gamma * p_y(x_n)) / M_{y_n}   with the p of stage 1, sum_n mu_n = 1

M_y is the number of held-out inputs of label y. An input that stage 1 gets wrong counts up to exp(gamma) times as much
as an input of the same label that stage 1 gets right; no groups are used. As in the paper: full batches, learning rate
0.01, gradient norm clipped at 1. The paper chooses gamma between 4 and 20 by worst-group validation accuracy; gamma is
4 here. No strength: gamma = 0 is not ERM, because stage 1 does not see the held-out inputs.

Not run where every training input's shortcut shows the value of the input's label: the inputs that stage 1 gets wrong
are then hard inputs and not a minority.

On decoy digits at a correlation of 0.95, with 40 to 73 minority inputs, `rrrbench run mitigations-quick` measures an
accuracy of 0.85 where the shortcut is random; ERM's is 0.88.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import ShortcutDataset
from ..base import mitigations
from ..last_layer import Head, LastLayerRetraining, descended


@mitigations.register
class AFR(LastLayerRetraining):
    """Retrains the last layer with more weight on inputs that the network got wrong."""

    name: ClassVar[str] = "afr"
    paper: ClassVar[str] = "Qiu et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L}_2 &= -\sum_n \mu_n \log p_{y_n}(x_n) + \text{anchor} \cdot \|W - W_{\mathrm{ERM}}\|^2, \\ "
        r"\mu_n &\propto \frac{\exp(-\gamma\, p^{(1)}_{y_n}(x_n))}{M_{y_n}}, \quad \sum_n \mu_n = 1"
    )

    gamma: Annotated[float, Field(ge=0)] = 4.0
    anchor: Annotated[float, Field(ge=0)] = 0.0
    steps: Annotated[int, Field(ge=1)] = 500

    def retrained(
        self, draw: ShortcutDataset, held_out: Bool[Tensor, "n"], hidden: Float[np.ndarray, "k width"], head: Head
    ) -> Head:
        weight, bias = map(torch.from_numpy, head)
        return self.second_stage(torch.from_numpy(hidden), draw.train.labels[held_out], weight, bias)

    def second_stage(
        self,
        hidden: Float[Tensor, "n width"],
        labels: Tensor,
        weight: Float[Tensor, "classes width"],
        bias: Float[Tensor, "classes"],
    ) -> Head:
        """The head (weight, bias) after stage 2, from the head of stage 1 and the features of held-out inputs."""
        importance = self.importance(F.linear(hidden, weight, bias), labels)
        return descended(hidden, labels, (weight, bias), importance, steps=self.steps, anchor=self.anchor)

    def importance(self, logits: Float[Tensor, "n classes"], labels: Tensor) -> Float[Tensor, "n"]:
        """The weights mu of the held-out inputs, from the logits of stage 1; they sum to 1."""
        p = logits.softmax(-1).gather(-1, labels[:, None])[:, 0]
        weights = torch.exp(-self.gamma * p) / labels.bincount()[labels]
        return weights / weights.sum()
