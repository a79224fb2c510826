"""A third party's mitigation, outside the tree: RRR with a Huber penalty, so that a few large gradients count less."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from rrrbench.datasets.base import Batch
from rrrbench.methods.base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from rrrbench.methods.gradients import masked_input_gradient
from rrrbench.methods.network import Net
from torch import Tensor

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)


@mitigations.register
class ClippedInputGradient(Mitigation):
    """RRR with a Huber penalty: quadratic below 1, linear above."""

    name: ClassVar[str] = "clipped_input_gradient"
    paper: ClassVar[str] = "Example 2026"
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        gradient, logits = masked_input_gradient(net, batch, lambda logits: logits.log_softmax(-1).sum(-1))
        size = gradient.abs()
        right_reason = torch.where(size < 1, size**2, 2 * size - 1).sum(1).mean()
        return Terms(cross_entropy(logits, batch.labels), strength * right_reason)
