r"""Group DRO (Sagawa, Koh, Hashimoto, Liang: ICLR 2020, section 3.3 and algorithm 1).

    min over theta, max over q:   loss = sum_g q_g * l_g(theta),   q = softmax(rate * u)

l_g is the mean of -log p_y over group g, a (label, shortcut) pair that occurs among the N training inputs. The u_g are
parameters of the method: by a reversed gradient they ascend the loss, which the network's parameters descend. No
strength.

Deviations. A batch's l_g is sum_{n in g} -log p_y(x_n) / (B N_g / N): divided by the expected number of inputs of g in
the batch and not by the actual number, so that the loss is a mean over the batch, unbiased at any batch size. And q
moves by the optimiser's step on u instead of by eta * l_g: with Adam at 1e-3, `rate` = 10 moves log q by 0.01 a step at
most, as much as the paper's eta moves log q where l_g is 1. No adjustment for group sizes (C = 0).

A minority can be too small for group DRO: on decoy digits at a correlation of 0.95, with 40 to 73 inputs in 36 to 49
minority groups, `rrrbench run mitigations-quick` measures an accuracy of 0.46 where the shortcut is random; ERM's is
0.88.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, mitigations, weighted_cross_entropy
from ..fitting import Fitted, Trainer
from ..gradients import reversed_gradient
from ..groups import inverse_shares
from ..network import Net

NO_GROUP = -1e4
"""u of a pair that does not occur: at the smallest `rate`, its share of the softmax is below e^-1000, hence 0."""


@mitigations.register
class GroupDRO(Mitigation):
    """Minimises the loss of the worst group."""

    name: ClassVar[str] = "group_dro"
    paper: ClassVar[str] = "Sagawa et al. 2020"
    equation: ClassVar[str] = (
        r"\min_\theta \max_u \mathcal{L} &= \sum_g q_g\, l_g(\theta), \quad q = \operatorname{softmax}(\text{rate} "
        r"\cdot u), \\ "
        r"l_g(\theta) &= -\underset{n \in g}{\operatorname{mean}} \log p_{y_n}(x_n)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True
    has_strength: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset({"inverse_shares"})

    rate: Annotated[float, Field(ge=0.1)] = 10.0

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        values = int(dataset.class_shortcuts.max()) + 2  # with a value for inputs without a shortcut
        u = torch.full((dataset.classes * values,), NO_GROUP)
        u[_pair(dataset.train.labels, dataset.train.shortcuts, values)] = 0.0
        return {"group_dro.u": u}

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        logits, u = net(batch.inputs), net.parameters["group_dro.u"]
        q = reversed_gradient((self.rate * u).softmax(0))
        pair = _pair(batch.labels, batch.shortcuts, len(u) // logits.shape[-1])
        right_answer = weighted_cross_entropy(logits, batch.labels, q[pair] * batch.draws["inverse_shares"])
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))

    def fit(self, trainer: Trainer) -> Fitted:
        shares = inverse_shares(trainer.labels, trainer.shortcuts, trainer.dtype)
        return trainer.train(self, given={"inverse_shares": shares})


def _pair(labels: Int[Tensor, "n"], shortcuts: Int[Tensor, "n"], values: int) -> Int[Tensor, "n"]:
    return labels * values + shortcuts + 1
