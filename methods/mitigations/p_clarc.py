r"""Projective class artifact compensation (P-ClArC: Anders et al., Information Fusion 2022).

Stage 1 is ERM. Stage 2 projects the shortcut's directions out of the features, without training:

    h' = h - P (h - m),   m = mean_n h(x~_n);    so that W' = W - W P,   b' = b + W P m

h are the features (the last layer's input), P is the orthogonal projection onto the first `rank` principal axes of the
directions of the classes' shortcuts (`..shortcut_directions`), x~_n is x_n with its mask filled. For a single direction
v this is the paper's h' = h + (m . v - h . v) v. The projection is linear, so that it is another last layer. No
strength.

Deviations. The directions come from pairs, and so the method is told masks; the paper fits a linear classifier of
inputs with and without the artifact, at whose full correlation the direction is the class's. The released code projects
maxima over positions and corrects every position by the same amount, which is no projection; here both are of the
features. What of the class lies on the directions is removed as well.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...datasets.base import Batch, ShortcutDataset
from ..base import Mitigation, Supervision, Terms, mitigations
from ..fitting import Fitted, Trainer
from ..last_layer import Head, with_new_heads, with_unchangeable_head, without_linear_head
from ..network import Net
from ..shortcut_directions import directions, paired_features, projection
from .erm import ERM


@mitigations.register
class PClArC(Mitigation):
    """Projects the shortcut's directions out of the features of ERM's network.

    Attributes:
        rank: axes that are removed; 1 is the paper's single direction.
    """

    name: ClassVar[str] = "p_clarc"
    paper: ClassVar[str] = "Anders et al. 2022"
    equation: ClassVar[str] = (
        r"h' &= h - P (h - m), \quad m = \underset{n}{\operatorname{mean}}\, h(\tilde{x}_n), \\ "
        r"P &= \text{projection onto axes of } v_k, \quad v_k \propto \underset{n : y_n = k} "
        r"{\operatorname{mean}} \left( h(x_n) - h(\tilde{x}_n) \right)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"masks"})
    has_strength: ClassVar[bool] = False

    rank: Annotated[int, Field(ge=1)] = 1

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module) or with_unchangeable_head(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        return ERM().terms(net, batch, strength)

    def fit(self, trainer: Trainer) -> Fitted:
        first = trainer.train(ERM())

        def new_head(row: int, column: int, hidden: Float[np.ndarray, "n width"]) -> Head:
            with_it, without_it = paired_features(trainer, first, row, column)
            draw = trainer.draws[row]
            onto = projection(directions(with_it - without_it, draw.train.labels, draw.classes), self.rank)
            weight, bias = (first.parameters[f"head.{name}"][row, column].double().cpu() for name in ("weight", "bias"))
            return projected(weight, bias, onto, without_it.mean(0))

        return with_new_heads(trainer, first, new_head)


def projected(
    weight: Float[Tensor, "classes width"],
    bias: Float[Tensor, "classes"],
    onto: Float[Tensor, "width width"],
    mean: Float[Tensor, "width"],
) -> Head:
    """The layer that computes W (h - P (h - m)) + b."""
    removed = weight @ onto
    return (weight - removed).numpy(), (bias + removed @ mean).numpy()
