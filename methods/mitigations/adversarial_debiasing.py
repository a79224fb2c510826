r"""Adversarial debiasing by gradient reversal (Ganin et al., JMLR 2016, section 4; ShortKit-ML, M04).

    min over theta, max over phi:   loss = mean_n -log p_y(x_n)  -  strength * mean_n -log r_s(h_n),  r = softmax(phi h)

h are the features (the last layer's input), s is the shortcut value. The adversary phi is a linear layer whose weights
are parameters of the method, trained together with the network's by the same optimiser. The code adds the right-reason
term, which the adversary minimises, and changes the sign of its gradient on the way into the network. Inputs without a
shortcut count 0. Deviations from Ganin et al.: the adversary has one linear layer, and the strength is not ramped up.

An adversary that is beaten in training proves little. `adversary_accuracy` is therefore the accuracy of a new
adversary: a logistic regression from features to shortcut values, fitted on one half of the training inputs and scored
on the other half. In both halves every (label, shortcut) group has the same weight, and inputs without a shortcut are
left out. Chance is 1 / the number of shortcut values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch, ShortcutDataset, generator
from ..base import Mitigation, Supervision, Terms, cross_entropy, mitigations
from ..fitting import Fitted, Trainer
from ..gradients import reversed_gradient
from ..groups import balancing_weights, groups
from ..last_layer import features_of_run, logistic_regression, without_linear_head
from ..network import Net


@mitigations.register
class AdversarialDebiasing(Mitigation):
    """Trains features from which an adversary cannot predict the shortcut value."""

    name: ClassVar[str] = "adversarial_debiasing"
    paper: ClassVar[str] = "Ganin et al. 2016"
    equation: ClassVar[str] = (
        r"\min_\theta \max_\phi \mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) + \lambda\, "
        r"\underset{n}{\operatorname{mean}} \log r_{s_n}(h_n), \\ "
        r"r(h) &= \operatorname{softmax}(\phi h)"
    )
    needs: ClassVar[frozenset[Supervision]] = frozenset({"groups"})
    needs_minority: ClassVar[bool] = True

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or without_linear_head(module)

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
                refitted_accuracy(features_of_run(trainer, fitted, row, column), train.labels, train.shortcuts)
                for column in range(fitted.seconds.shape[1])
            ]
            for row, train in enumerate(draw.train for draw in trainer.draws)
        ]
        return replace(fitted, metrics={**fitted.metrics, "adversary_accuracy": torch.tensor(accuracy)})


def adversary_error(
    net: Net, hidden: Float[Tensor, "batch width"], shortcuts: Int[Tensor, "batch"]
) -> Float[Tensor, ""]:
    """mean_n -log r_s(h_n), 0 for an input without a shortcut; the gradient with respect to `hidden` is reversed."""
    weight, bias = net.parameters["adversary.weight"], net.parameters["adversary.bias"]
    guesses = F.linear(reversed_gradient(hidden), weight, bias)
    return F.cross_entropy(guesses, shortcuts, ignore_index=-1, reduction="none").mean()


def refitted_accuracy(
    hidden: Float[np.ndarray, "n width"], labels: Int[Tensor, "n"], shortcuts: Int[Tensor, "n"]
) -> float:
    """The accuracy of a logistic regression from features to shortcut values, fitted on half of each group.

    Scored on the second half of each group. Weights give each (label, shortcut) group the same share of both halves.
    NaN where the features are not finite.
    """
    if not np.isfinite(hidden).all():
        return float("nan")
    with_shortcut = (shortcuts >= 0).nonzero()[:, 0]
    with_shortcut = with_shortcut[groups(labels[with_shortcut], shortcuts[with_shortcut])[0].argsort(stable=True)]
    fitting, scoring = (
        (
            hidden[half.numpy()],
            shortcuts[half].numpy(),
            balancing_weights(labels[half][None], shortcuts[half][None], torch.float64)[0].numpy(),
        )
        for half in (with_shortcut[::2], with_shortcut[1::2])
    )
    model = logistic_regression().fit(*fitting[:2], logisticregression__sample_weight=fitting[2])
    return float(model.score(*scoring))
