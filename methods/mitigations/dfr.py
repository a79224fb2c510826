r"""Deep feature reweighting (Kirichenko, Izmailov, Wilson: ICLR 2023, section 4: DFR^Tr).

Stage 1: ERM on the training inputs but for a share of them that is held out,

    loss = mean_n k_n / (1 - share) * -log p_y(x_n),   k_n = 0 if input n is held out, else 1.

Stage 2: the last layer anew, by logistic regression on the standardised features of held-out inputs that are balanced:
of every group, a (label, shortcut) pair that occurs among them, as many inputs as the smallest has, drawn `refits`
times; the weights and biases are averaged over the refits. No strength.

Deviations: the balanced inputs are held out of the training inputs, where DFR^Tr draws them from what stage 1 saw and
DFR^Val takes validation inputs, which choose strengths here (RULES.md); features are standardised within each refit's
subset; L2 with C = 1 (scikit-learn's default) in place of L1 with C from a grid, which a small network's few features
do not need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from ...datasets.base import Batch, generator
from ..base import Mitigation, Supervision, Terms, mitigations, weighted_cross_entropy
from ..groups import groups
from ..last_layer import Head, head_of, held_out, logistic_regression, with_new_heads
from ..network import Net

if TYPE_CHECKING:
    from ...benchmark.engine import Fitted, Trainer


@mitigations.register
class DFR(Mitigation):
    """Retrains the last layer on inputs in which all groups are equally frequent."""

    name: ClassVar[str] = "dfr"
    paper: ClassVar[str] = "Kirichenko et al. 2023"
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True
    has_strength: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset({"weights"})

    share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    refits: Annotated[int, Field(ge=1)] = 10

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        right_answer = weighted_cross_entropy(net(batch.inputs), batch.labels, batch.draws["weights"])
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))

    def fit(self, trainer: Trainer) -> Fitted:
        out = held_out(trainer, self.share)
        first = trainer.train(self, given={"weights": (~out).to(trainer.device, trainer.dtype) / (1 - self.share)})

        def retrained(row: int, column: int, hidden: Float[np.ndarray, "n width"]) -> Head:
            draw, chosen = trainer.draws[row], out[row]
            labels, shortcuts = draw.train.labels[chosen], draw.train.shortcuts[chosen]
            group, rng = groups(labels, shortcuts)[0].numpy(), generator(draw.seed, "dfr")
            heads = []
            for _ in range(self.refits):
                subset = balanced_subset(group, rng)
                model = logistic_regression().fit(hidden[chosen][subset], labels.numpy()[subset])
                heads.append(head_of(model, draw.classes))
            weights, biases = zip(*heads, strict=True)
            return np.mean(weights, axis=0), np.mean(biases, axis=0)

        return with_new_heads(trainer, first, retrained)


def balanced_subset(group: Int[np.ndarray, "n"], rng: np.random.Generator) -> Int[np.ndarray, "k"]:
    """As many inputs of every group as the smallest has."""
    members = [np.flatnonzero(group == which) for which in np.unique(group)]
    return np.concatenate([rng.choice(of, min(map(len, members)), replace=False) for of in members])
