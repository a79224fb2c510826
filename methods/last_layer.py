"""Retraining the last layer: held-out training inputs, their features, and a new head in place of the trained head."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ..datasets.base import Batch, ShortcutDataset, generator
from .base import Mitigation, Terms, weighted_cross_entropy
from .fitting import Fitted, Trainer
from .network import DENSE, Net, is_exactly

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


LEARNING_RATE, CLIP = 0.01, 1.0  # of `descended`
Head = tuple[Float[np.ndarray, "classes width"], Float[np.ndarray, "classes"]]
"""Weight and bias of a last layer."""


class HeldOutShare(Mitigation):
    r"""Trains by ERM without a held-out `share` of the training inputs; a subclass replaces the last layer.

    loss of stage 1 = mean_n k_n / (1 - share) * -log p_y(x_n),   k_n = 0 if input n is held out, else 1
    """

    needs_minority: ClassVar[bool] = True
    has_strength: ClassVar[bool] = False
    carries: ClassVar[frozenset[str]] = frozenset({"weights"})

    share: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @property
    def stages(self) -> int:
        return 2

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module) or with_unchangeable_head(module)

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        right_answer = weighted_cross_entropy(net(batch.inputs), batch.labels, batch.draws["weights"])
        return Terms(right_answer, right_reason=right_answer.new_zeros(()))

    def first_stage(self, trainer: Trainer, out: Bool[Tensor, "seeds n"]) -> Fitted:
        """The stack after stage 1, which does not see the inputs that are `out`."""
        return trainer.train(self, given={"weights": (~out).to(trainer.device, trainer.dtype) / (1 - self.share)})


class LastLayerRetraining(HeldOutShare):
    """Fits a new last layer to the features of the held-out inputs."""

    @abstractmethod
    def retrained(
        self, draw: ShortcutDataset, held_out: Bool[Tensor, "n"], hidden: Float[np.ndarray, "k width"], head: Head
    ) -> Head:
        """The head after stage 2 of a run, from the features of its k held-out inputs and the head of stage 1."""

    def fit(self, trainer: Trainer) -> Fitted:
        out = held_out(trainer, self.share)
        first = self.first_stage(trainer, out)

        def new_head(row: int, column: int, hidden: Float[np.ndarray, "n width"]) -> Head:
            weight, bias = (part.numpy() for part in head_of_run(first, row, column))
            return self.retrained(trainer.draws[row], out[row], hidden[out[row].numpy()], (weight, bias))

        return with_new_heads(trainer, first, new_head)


def without_linear_head(module: nn.Module) -> str:
    """Why the last layer of this network cannot be fitted to features; empty if it can."""
    head = module.head
    if isinstance(head, nn.Linear) and is_exactly(head, *DENSE) and head.bias is not None:
        return ""
    return f"the last layer is {head}, not linear with a bias, so that it cannot be fitted to features: use the mlp"


def with_unchangeable_head(module: nn.Module) -> str:
    """Why the last layer of this network must not be replaced; empty if it may."""
    parts = {f"head.{name}": part for name, part in module.head.named_parameters()}  # pyrefly: ignore
    if frozen := [name for name, part in parts.items() if not part.requires_grad]:
        return (
            f"{' and '.join(frozen)} of the last layer requires no gradient, and this method would replace it: train "
            "the last layer, or leave this method out"
        )
    used = {name: part for name, part in module.named_parameters(remove_duplicate=False) if name not in parts}
    if shared := [(name, other) for name, part in parts.items() for other, own in used.items() if own is part]:
        name, other = shared[0]
        return (
            f"{name} is {other} too, so replacing the last layer would change the features that it is fitted to: give "
            "the last layer parameters of its own, or leave this method out"
        )
    return ""


def held_out(trainer: Trainer, share: float) -> Bool[Tensor, "seeds n"]:
    """Draws by the seed the `share` of the training inputs that stage 1 does not see."""
    n = trainer.labels.shape[1]
    out = torch.zeros(len(trainer.draws), n, dtype=torch.bool)
    for row, draw in enumerate(trainer.draws):
        out[row, generator(draw.seed, "held-out").permutation(n)[: round(share * n)]] = True
    return out


def head_of_run(
    fitted: Fitted, row: int, column: int
) -> tuple[Float[Tensor, "classes width"], Float[Tensor, "classes"]]:
    """The last layer of the network of one seed (`row`) and one strength (`column`), in double precision."""
    weight, bias = (fitted.parameters[f"head.{name}"][row, column].double().cpu() for name in ("weight", "bias"))
    return weight, bias


def features_of_run(trainer: Trainer, fitted: Fitted, row: int, column: int) -> Float[np.ndarray, "n width"]:
    """The input of a run's last layer for every training input; of a single run, as a stack's would take gigabytes."""
    hidden = trainer.per_input_of_run(fitted, row, column, lambda net, batch: net.features(batch.inputs))
    return hidden.double().cpu().numpy()


def with_new_heads(
    trainer: Trainer, fitted: Fitted, new_head: Callable[[int, int, Float[np.ndarray, "n width"]], Head]
) -> Fitted:
    """The stack with each run's last layer replaced, by NaN for a run whose features are not finite.

    Args:
        new_head: from a run's row and column in the stack, and the features of its training inputs, to its new head.
    """
    weight, bias = (fitted.parameters[name].clone() for name in ("head.weight", "head.bias"))
    for row, column in np.ndindex(*fitted.seconds.shape):
        hidden = features_of_run(trainer, fitted, row, column)
        head = new_head(row, column, hidden) if np.isfinite(hidden).all() else (np.nan, np.nan)
        weight[row, column], bias[row, column] = (torch.as_tensor(part).to(weight) for part in head)
    return replace(fitted, parameters={**fitted.parameters, "head.weight": weight, "head.bias": bias})


def descended(
    hidden: Float[Tensor, "n width"],
    labels: Int[Tensor, "n"],
    head: tuple[Float[Tensor, "classes width"], Float[Tensor, "classes"]],
    importance: Float[Tensor, "n"],
    *,
    steps: int,
    anchor: float = 0.0,
) -> Head:
    """A last layer after gradient descent from `head`, by full batches, its gradient clipped at norm 1, on

    sum_n importance_n * -log softmax(W h_n)_y  +  anchor * ||W - W_0||^2
    """
    start = list(head)
    trained = [part.clone().requires_grad_() for part in start]
    descent = torch.optim.SGD(trained, lr=LEARNING_RATE)
    for _ in range(steps):
        errors = F.cross_entropy(F.linear(hidden, *trained), labels, reduction="none")
        distances = [(part - initial).square().sum() for part, initial in zip(trained, start, strict=True)]
        loss = (importance * errors).sum() + anchor * torch.stack(distances).sum()
        for part, gradient in zip(trained, torch.autograd.grad(loss, trained), strict=True):
            part.grad = gradient
        torch.nn.utils.clip_grad_norm_(trained, CLIP)
        descent.step()
    weight, bias = (part.detach().numpy() for part in trained)
    return weight, bias


def logistic_regression(**options: Any) -> Pipeline:
    """Multinomial logistic regression on standardised features; by default with scikit-learn's L2 penalty at C = 1."""
    from sklearn.linear_model import LogisticRegression  # here, because the import takes seconds
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000, **options))


def head_of(model: Pipeline, classes: int) -> Head:
    """A fitted `logistic_regression` as a layer on features that are not standardised.

    A class that was missing from the fit gets the weight 0 and a bias far below all other biases. For two classes
    scikit-learn has a single row of weights: the layer has half the row with a minus sign, and half the row.
    """
    scaler, regression = model.steps[0][1], model.steps[1][1]
    rows, intercepts = regression.coef_, regression.intercept_
    if len(regression.classes_) == 2:
        rows, intercepts = np.concatenate((-rows, rows)) / 2, np.concatenate((-intercepts, intercepts)) / 2
    weight, bias = np.zeros((classes, rows.shape[1])), np.full(classes, intercepts.min() - 100.0)
    weight[regression.classes_] = rows / scaler.scale_
    bias[regression.classes_] = intercepts - (rows / scaler.scale_) @ scaler.mean_
    return weight, bias
