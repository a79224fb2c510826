r"""Adversarial debiasing by gradient reversal (Ganin et al., JMLR 2016, section 4; ShortKit-ML, M04).

    min over theta, max over phi:   loss = mean_n -log p_y(x_n)  -  strength * mean_n -log r_s(h_n),  r = softmax(phi h)

h are the features (what the last layer sees), s the shortcut value. The adversary phi is linear; its weights are
parameters of the method's own, trained with the network's by the same optimiser. The term is computed with a plus sign,
as the adversary minimises it, and its gradient changes sign on its way into the network. Inputs that have no shortcut
count 0. Deviations from Ganin et al.: one linear layer, and the strength is not ramped up.

An adversary that is beaten in training proves little, so `adversary_accuracy` reports one that is fitted anew: a
logistic regression on one half of the training inputs' features, scored on the other half; every (label, shortcut)
group has the same weight in both, and inputs without a shortcut are left out. Chance is 1 / the number of shortcut
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch, ShortcutDataset, generator
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..gradients import reversed_gradient
from ..groups import balancing_weights, groups
from ..last_layer import features, logistic_regression
from ..network import Net

if TYPE_CHECKING:
    from ...benchmark.engine.trainer import Fitted, Trainer


@mitigations.register
class AdversarialDebiasing(Mitigation):
    """Wants features from which no adversary can tell the shortcut."""

    name: ClassVar[str] = "adversarial_debiasing"
    paper: ClassVar[str] = "Ganin et al. 2016"
    equation: ClassVar[str] = (
        r"\min_\theta \max_\phi \mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \log r_{s_n}(h_n), \\ "
        r"r(h) &= \operatorname{softmax}(\phi h)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True

    def parameters(self, module: nn.Module, dataset: ShortcutDataset) -> Mapping[str, Tensor]:
        width, values = module.head.in_features, int(dataset.class_shortcuts.max()) + 1  # pyrefly: ignore
        weight = generator(dataset.seed, "adversary").normal(scale=width**-0.5, size=(values, width))
        return {"adversary.weight": torch.from_numpy(weight), "adversary.bias": torch.zeros(values)}

    def terms(self, net: Net, batch: Batch, strength: Float[Tensor, ""]) -> Terms:
        hidden = net.features(batch.inputs)
        right_answer = cross_entropy(net.head(hidden), batch.labels)
        return Terms(right_answer, strength * adversary_error(net, hidden, batch.shortcuts))

    def fit(self, trainer: Trainer) -> Fitted:
        fitted = trainer.train(self)
        accuracy = [
            [
                refitted_accuracy(features(trainer, fitted, row, column), draw.train.labels, draw.train.shortcuts)
                for column in range(fitted.seconds.shape[1])
            ]
            for row, draw in enumerate(trainer.draws)
        ]
        return replace(fitted, metrics={**fitted.metrics, "adversary_accuracy": torch.tensor(accuracy)})


def adversary_error(
    net: Net, hidden: Float[Tensor, "batch width"], shortcuts: Int[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """mean_n -log r_s(h_n), 0 for an input without a shortcut; its gradient changes sign on its way into `hidden`."""
    weight, bias = net.parameters["adversary.weight"], net.parameters["adversary.bias"]
    guesses = F.linear(reversed_gradient(hidden), weight, bias)
    return F.cross_entropy(guesses, shortcuts, ignore_index=-1, reduction="none").mean()


def refitted_accuracy(
    hidden: Float[np.ndarray, "n width"], labels: Int[Tensor, "n"], shortcuts: Int[Tensor, "n"]
) -> float:
    """Of a logistic regression from features to shortcut values: fitted on half of each group, scored on the rest.

    Both with weights that give each (label, shortcut) group the same share; NaN where the features are not finite.
    """
    if not np.isfinite(hidden).all():
        return float("nan")
    shown = (shortcuts >= 0).nonzero()[:, 0]
    shown = shown[groups(labels[shown], shortcuts[shown])[0].argsort(stable=True)]
    fitting, scoring = (
        (
            hidden[half.numpy()],
            shortcuts[half].numpy(),
            balancing_weights(labels[half][None], shortcuts[half][None], torch.float64)[0].numpy(),
        )
        for half in (shown[::2], shown[1::2])
    )
    model = logistic_regression().fit(*fitting[:2], logisticregression__sample_weight=fitting[2])
    return float(model.score(*scoring))
