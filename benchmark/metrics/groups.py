"""Accuracy by groups of label and shortcut value, weighed as in training, and what a misleading shortcut costs."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import Split
from .accuracy import accuracy
from .base import Metric, Values, metrics
from .evaluated import Evaluated


def training_weighted_accuracy(
    predictions: Int[Tensor, "*stack n"], test: Split, train: Split
) -> Float[Tensor, "*stack"]:
    """sum_g (N_g of the training / N of the training) accuracy_g: the average accuracy of Sagawa et al. 2020.

    A group is a label and a shortcut value; inputs without a value (-1) are a group of their label. Groups that the
    training does not have weigh nothing, and groups that the test does not have are left out. NaN if none is left.
    """
    values = int(max(test.shortcuts.max(), train.shortcuts.max())) + 2
    groups, trained = ((split.labels * values + split.shortcuts + 1) for split in (test, train))
    count = int(max(groups.max(), trained.max())) + 1
    weights = torch.bincount(trained, minlength=count).double() / len(trained)
    members = F.one_hot(groups, count).double()
    counted = (weights > 0) & (members.sum(0) > 0)
    members, weights = members[:, counted], weights[counted]
    by_group = (predictions == test.labels).double() @ members / members.sum(0)
    return by_group @ weights / weights.sum()


def class_values(train: Split, planter: str, classes: int) -> Int[Tensor, "classes"]:
    """The value of a planter's shortcut that most training inputs of each class show."""
    shown = train.planted[planter] + 1  # -1 is no shortcut
    counts = F.one_hot(train.labels, classes).T @ F.one_hot(shown)
    return counts.argmax(1) - 1


@metrics.measured_by(
    Metric(
        "training_weighted_accuracy",
        "higher",
        0,
        1,
        "1/classes for guesses",
        "Accuracy on `random` of each label and shortcut value, weighed by its share of the training inputs.",
    ),
    Metric(
        "shortcut_gap",
        "higher",
        -1,
        1,
        "0 for a network that is blind to the shortcut",
        "Accuracy on `random` where the shortcut says another class, minus the training-weighted accuracy.",
    ),
    Metric(
        "shortcut_gap/{planter}",
        "higher",
        -1,
        1,
        "0 for a network that is blind to this shortcut",
        "Of several shortcuts: accuracy where this one says another class and the others are as on `aligned`, minus "
        "the accuracy on `aligned`.",
    ),
)
def group_accuracies(evaluated: Evaluated) -> Values:
    """Absent without inputs of `random`; the gap is absent where no input of it is misled."""
    draw = evaluated.draw
    if "random" not in evaluated.predictions or not len(draw.test("random")) or not len(draw.train):
        return {}
    test = draw.test("random")
    average = training_weighted_accuracy(evaluated.predictions["random"], test, draw.train)
    measured = {"training_weighted_accuracy": average}

    misled = _misled(evaluated.predictions["random"], test.labels, test.shortcuts, draw.class_shortcuts)
    if misled is not None:
        measured["shortcut_gap"] = misled - average
    for name in draw.train.planted:
        if {alone := f"random_{name}", "aligned"} <= evaluated.predictions.keys():
            split, own = draw.test(alone), class_values(draw.train, name, draw.classes)
            misled = _misled(evaluated.predictions[alone], split.labels, split.planted[name], own)
            if misled is not None:
                usual = accuracy(evaluated.predictions["aligned"], draw.test("aligned").labels)
                measured[f"shortcut_gap/{name}"] = misled - usual
    return measured


def _misled(
    predictions: Int[Tensor, "*stack n"],
    labels: Int[Tensor, "n"],
    shown: Int[Tensor, "n"],
    own: Int[Tensor, "classes"],
) -> Float[Tensor, "*stack"] | None:
    """Accuracy on the inputs that show a shortcut value which is not their class's; None if there is no such input."""
    against = (shown >= 0) & (shown != own[labels])
    return accuracy(predictions[..., against], labels[against]) if against.any() else None
