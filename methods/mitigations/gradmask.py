r"""GradMask (Simpson, Dutil, Bengio, Cohen: MIDL 2019; as Viviano et al., ICLR 2021, released it).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n sum_d | A_nd * d/dx_nd ( z_y(x_n) - max_{k != y} z_k(x_n) ) |

z are the logits. A is True where an input must not matter: the shortcut, or with `told = "outside core"`, as in the
paper, everything outside the object. The nearest relative of RRR: the gradient is that of a contrast of two logits,
which does not vanish on fitted inputs, and absolute values make small gradients as costly as large ones are. `norm = 2`
squares the gradient instead, so that only the target differs from RRR's.

For two classes the contrast is z_0 - z_1 up to its sign, which the absolute value does not see. The released code
differentiates |z_0 - z_1| for two classes only; here the contrast of K classes is with the nearest other class. It also
sums the penalty over the batch of 16: the released strength of 0.20 is 3.2 in rrrbench's unit.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets.base import Batch
from ..base import Terms, cross_entropy, mitigations, true_class
from ..gradients import masked_input_gradient
from ..network import Net
from ..told import ToldWhere
from ..units import from_published


@mitigations.register
class GradMask(ToldWhere):
    """Penalises the absolute input gradient of the true class's lead, where an input must not matter."""

    name: ClassVar[str] = "gradmask"
    paper: ClassVar[str] = "Simpson et al. 2019"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \sum_d \left| A_{nd}\, \frac{\partial}{\partial x_{nd}} \left( "
        r"z_{y_n}(x_n) - \max_{k \neq y_n} z_k(x_n) \right) \right|"
    )

    norm: Literal[1, 2] = 1

    @property
    def published_strength(self) -> float | None:  # pyrefly: ignore  # of the norm, where other methods' are fixed
        released = from_published(0.20, right_reason="sum", right_answer="mean", batch_size=16)
        return released if self.norm == 1 else None

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        gradient, logits = masked_input_gradient(net, self.forbidding(batch), lambda logits: lead(logits, batch.labels))
        size = gradient.abs() if self.norm == 1 else gradient.square()
        return Terms(cross_entropy(logits, batch.labels), strength * size.sum(1).mean())


def lead(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """z_y minus the largest other logit."""
    true = true_class(labels, logits.shape[-1])
    others = torch.where(true, -torch.inf, logits).amax(-1)
    return logits.gather(-1, labels[:, None])[:, 0] - others
