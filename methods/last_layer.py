"""Retraining the last layer: held-out training inputs, their features, and a head in place of the trained one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ..datasets.base import Batch, ShortcutDataset, generator
from .base import Mitigation, Terms, weighted_cross_entropy
from .fitting import Fitted, Trainer
from .network import Net

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


Head = tuple[Float[np.ndarray, "classes width"], Float[np.ndarray, "classes"]]
"""Weight and bias."""


class LastLayerRetraining(Mitigation):
    r"""What such methods share: ERM on all but a `share` of the training inputs, then another last layer from these.

    loss of stage 1 = mean_n k_n / (1 - share) * -log p_y(x_n),   k_n = 0 if input n is held out, else 1
    """

    needs_minority: ClassVar[bool] = True
    has_strength: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset({"weights"})

    share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @abstractmethod
    def retrained(
        self, draw: ShortcutDataset, chosen: Bool[Tensor, "n"], hidden: Float[np.ndarray, "k width"], head: Head
    ) -> Head:
        """Stage 2 of one run: from the features of its k chosen inputs, and the head that stage 1 trained."""

    @property
    def stages(self) -> int:
        return 2

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        right_answer = weighted_cross_entropy(net(batch.inputs), batch.labels, batch.draws["weights"])
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))

    def fit(self, trainer: Trainer) -> Fitted:
        out = held_out(trainer, self.share)
        first = trainer.train(self, given={"weights": (~out).to(trainer.device, trainer.dtype) / (1 - self.share)})

        def retrained(row: int, column: int, hidden: Float[np.ndarray, "n width"]) -> Head:
            weight, bias = (first.parameters[f"head.{name}"][row, column].double().cpu() for name in ("weight", "bias"))
            return self.retrained(
                trainer.draws[row], out[row], hidden[out[row].numpy()], (weight.numpy(), bias.numpy())
            )

        return with_new_heads(trainer, first, retrained)


def without_linear_head(module: nn.Module) -> str:
    """Why the last layer of this network cannot be replaced; empty if it can."""
    head = module.head
    if isinstance(head, nn.Linear) and head.bias is not None:
        return ""
    return f"the last layer is {head}, not linear with a bias, so that it cannot be fitted to features: use the mlp"


def held_out(trainer: Trainer, share: float) -> Bool[Tensor, "seeds n"]:
    """Training inputs that a first stage is not to see: `share` of them, drawn by the seed."""
    n = trainer.labels.shape[1]
    chosen = torch.zeros(len(trainer.draws), n, dtype=torch.bool)
    for row, draw in enumerate(trainer.draws):
        chosen[row, generator(draw.seed, "held-out").permutation(n)[: round(share * n)]] = True
    return chosen


def features(trainer: Trainer, fitted: Fitted, row: int, column: int) -> Float[np.ndarray, "n width"]:
    """What the last layer of one run sees of every training input; a whole stack's would take gigabytes."""
    hidden = trainer.per_input_of_run(fitted, row, column, lambda net, batch: net.features(batch.inputs))
    return hidden.double().cpu().numpy()


def with_new_heads(
    trainer: Trainer, fitted: Fitted, retrained: Callable[[int, int, Float[np.ndarray, "n width"]], Head]
) -> Fitted:
    """The stack with each run's last layer replaced; not a number for a run whose features are not finite.

    Args:
        retrained: from a run's row and column and the features of its training inputs.
    """
    weight, bias = (fitted.parameters[name].clone() for name in ("head.weight", "head.bias"))
    for row, column in np.ndindex(*fitted.seconds.shape):
        hidden = features(trainer, fitted, row, column)
        head = retrained(row, column, hidden) if np.isfinite(hidden).all() else (np.nan, np.nan)
        weight[row, column], bias[row, column] = (torch.as_tensor(part).to(weight) for part in head)
    return replace(fitted, parameters={**fitted.parameters, "head.weight": weight, "head.bias": bias})


def logistic_regression(**options: Any) -> Pipeline:
    """On standardised features; multinomial, with scikit-learn's L2 penalty at C = 1 unless `options` say otherwise."""
    from sklearn.linear_model import LogisticRegression  # takes seconds
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, **options))


def head_of(model: Pipeline, classes: int) -> Head:
    """A fitted `logistic_regression` as a layer on the features as they are.

    A class that it was not shown gets no weight and a bias far below the others. Two classes have one row of weights
    in scikit-learn: half of it, with either sign.
    """
    scaler, regression = model.steps[0][1], model.steps[1][1]
    rows, intercepts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        rows, intercepts = np.concatenate((-rows, rows)) / 2, np.concatenate((-intercepts, intercepts)) / 2
    weight, bias = np.zeros((classes, rows.shape[1])), np.full(classes, intercepts.min() - 100.0)
    weight[regression.classes_] = rows / scaler.scale_
    bias[regression.classes_] = intercepts - (rows / scaler.scale_) @ scaler.mean_
    return weight, bias
