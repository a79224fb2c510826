"""Empirical risk minimisation: cross-entropy alone, the reference that every mitigation is compared with."""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Terms, cross_entropy, mitigations
from ..network import Net


@mitigations.register
class ERM(Mitigation):
    """Mean over the batch of -log p_y."""

    name: ClassVar[str] = "erm"
    paper: ClassVar[str] = "Vapnik 1991"
    equation: ClassVar[str] = r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n)"
    has_strength: ClassVar[bool] = False

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        right_answer = cross_entropy(net(batch.inputs), batch.labels)
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))
