r"""Deep feature reweighting (Kirichenko, Izmailov, Wilson: ICLR 2023, section 4: DFR^Tr).

Stage 1 is ERM on the training inputs without a held-out share:

    loss = mean_n k_n / (1 - share) * -log p_y(x_n),   k_n = 0 if input n is held out, else 1.

Stage 2 fits a new last layer by logistic regression on the standardised features of a balanced subset of the held-out
inputs. Groups are the (label, shortcut) pairs that occur among the held-out inputs; a balanced subset has as many
inputs of every group as the smallest group has. `refits` subsets are drawn, and the weights and biases of their
regressions are averaged. No strength.

Deviations: the balanced subsets come from held-out training inputs, where DFR^Tr draws them from the inputs of stage 1
and DFR^Val from validation inputs, which choose strengths here (RULES.md); features are standardised within each
subset; L2 with C = 1 (scikit-learn's default) in place of L1 with C from a grid, which a small network's few features
do not need.

A minority can be too small for DFR: on decoy digits at a correlation of 0.95, with 40 to 73 inputs in 36 to 49 minority
groups, `rrrbench run mitigations-quick` measures an accuracy of 0.79 where the shortcut is random; ERM's is 0.88.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor

from ...datasets.base import ShortcutDataset, generator
from ..base import Supervision, mitigations
from ..groups import groups
from ..last_layer import Head, LastLayerRetraining, head_of, logistic_regression


@mitigations.register
class DFR(LastLayerRetraining):
    """Retrains the last layer on held-out inputs with equally many of every group."""

    name: ClassVar[str] = "dfr"
    paper: ClassVar[str] = "Kirichenko et al. 2023"
    equation: ClassVar[str] = (
        r"\mathcal{L}_1 &= -\underset{n}{\operatorname{mean}} \frac{k_n}{1 - \text{share}} \log p_{y_n}(x_n), \\ "
        r"(W, b) &= \underset{r}{\operatorname{mean}} \operatorname{argmin}_{W, b} \left( \frac{1}{2} \|W\|^2 - "
        r"\sum_{n \in S_r} \log \operatorname{softmax}(W h_n + b)_{y_n} \right)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})

    refits: Annotated[int, Field(ge=1)] = 10

    def retrained(
        self, draw: ShortcutDataset, held_out: Bool[Tensor, "n"], hidden: Float[np.ndarray, "k width"], head: Head
    ) -> Head:
        labels, shortcuts = draw.train.labels[held_out], draw.train.shortcuts[held_out]
        group, rng = groups(labels, shortcuts)[0].numpy(), generator(draw.seed, "dfr")
        heads = []
        for _ in range(self.refits):
            subset = balanced_subset(group, rng)
            model = logistic_regression().fit(hidden[subset], labels.numpy()[subset])
            heads.append(head_of(model, draw.classes))
        weights, biases = zip(*heads, strict=True)
        return np.mean(weights, axis=0), np.mean(biases, axis=0)


def balanced_subset(group: Int[np.ndarray, "n"], rng: np.random.Generator) -> Int[np.ndarray, "k"]:
    """Indices of as many inputs of every group as the smallest group has, drawn without replacement."""
    members = [np.flatnonzero(group == value) for value in np.unique(group)]
    smallest = min(map(len, members))
    return np.concatenate([rng.choice(indices, smallest, replace=False) for indices in members])
