r"""Reweighting (importance weighting; Sagawa et al., ICLR 2020, section 3.2; RWG in Idrissi et al., CLeaR 2022).

    loss = mean_n w_n * -log p_y(x_n),   w_n = N / (G N_g)

for an input of group g. Groups are the G (label, shortcut) pairs that occur among the N training inputs; group g has
N_g inputs. With these weights every group has the same share of the loss. No strength.

A minority can be too small for reweighting: on decoy digits at a correlation of 0.95, with 40 to 73 inputs in 36 to 49
minority groups, `rrrbench run mitigations-quick` measures an accuracy of 0.60 where the shortcut is random; ERM's is
0.88.
"""

from __future__ import annotations

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..base import Mitigation, Supervision, Terms, mitigations, weighted_cross_entropy
from ..fitting import Fitted, Trainer
from ..groups import balancing_weights
from ..network import Net


@mitigations.register
class Reweighting(Mitigation):
    """Gives every group the same share of the loss."""

    name: ClassVar[str] = "reweighting"
    paper: ClassVar[str] = "Sagawa et al. 2020"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} w_n \log p_{y_n}(x_n), \quad w_n = \frac{N}{G N_{g_n}}"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True
    has_strength: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset({"weights"})

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        right_answer = weighted_cross_entropy(net(batch.inputs), batch.labels, batch.draws["weights"])
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))

    def fit(self, trainer: Trainer) -> Fitted:
        return trainer.train(
            self, given={"weights": balancing_weights(trainer.labels, trainer.shortcuts, trainer.dtype)}
        )
