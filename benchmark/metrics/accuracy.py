"""Accuracy, of all inputs and of the class that fares worst, in each environment."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import ENVIRONMENTS, MADE_UP, Environment
from .base import Metric, Values, metrics
from .column import Column
from .evaluated import Evaluated

_GUESSES = "1/classes for guesses"
SHIFTED: tuple[Environment, ...] = ("random", "conflict", "clean", "exchanged", "removed")
"""Environments where the shortcut no longer helps, those with true twins first."""
LEGENDS = dict.fromkeys(("exchanged", "removed"), "on twins that are made up from masks (docs/data.md)")


def accuracy(predictions: Int[Tensor, "*stack n"], labels: Int[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    """Share of the predictions that are right."""
    return (predictions == labels).mean(-1, dtype=torch.float64)


def class_accuracy(
    predictions: Int[Tensor, "*stack n"], labels: Int[Tensor, "n"], classes: int
) -> Float[Tensor, "*stack classes"]:
    """The accuracy of each class; NaN for one without an input."""
    members = F.one_hot(labels, classes).double()
    return (predictions == labels).double() @ members / members.sum(0)


def worst_class_accuracy(by_class: Float[Tensor, "*stack classes"]) -> Float[Tensor, "*stack"]:
    """The lowest accuracy of a class; classes without an input are left out."""
    return by_class.nan_to_num(nan=torch.inf).amin(-1)


def macro_accuracy(by_class: Float[Tensor, "*stack classes"]) -> Float[Tensor, "*stack"]:
    """The mean accuracy of the classes; those without an input are left out."""
    return by_class.nanmean(-1)


@metrics.measured_by(
    Metric(
        "accuracy/{environment}",
        "higher",
        0,
        1,
        _GUESSES,
        "Share of the test inputs predicted rightly.",
        tuple(Column(f"accuracy/{name}", f"accuracy/{name}", LEGENDS.get(name, ""), order=10) for name in SHIFTED),
    ),
    Metric(
        "worst_class_accuracy/{environment}",
        "higher",
        0,
        1,
        "1/classes for many guesses, 0 for a constant prediction",
        "Accuracy of the class with the lowest.",
    ),
    Metric(
        "class_accuracy/{environment}/{label}",
        "higher",
        0,
        1,
        _GUESSES,
        "Accuracy of one class; `worst`: of the one whose mean over the seeds is lowest.",
    ),
    Metric("macro_accuracy/{environment}", "higher", 0, 1, _GUESSES, "Mean over the classes of their accuracy."),
    Metric(
        "worst_group_accuracy/{environment}",
        "higher",
        0,
        1,
        "1/classes for many guesses, 0 for a constant prediction",
        "Accuracy of the label and shortcut value, together a group, with the lowest; of inputs that show a value. "
        "Where the smallest group has few inputs, it is the worst of many rough estimates.",
    ),
)
def environment_accuracies(evaluated: Evaluated) -> Values:
    """The accuracies in every environment that has inputs; of made-up twins alone, where some inputs have none."""
    measured = {}
    alone = (name for name in evaluated.predictions if name.startswith("random_"))
    for environment in (*ENVIRONMENTS, *MADE_UP, *alone):
        if environment not in evaluated.predictions:
            continue
        split = evaluated.draw.test(environment)
        counted = split.shown if environment in MADE_UP and environment != "observed" else slice(None)
        predicted, labels = evaluated.predictions[environment][..., counted], split.labels[counted]
        if len(labels):
            by_class = class_accuracy(predicted, labels, evaluated.draw.classes)
            measured[f"accuracy/{environment}"] = accuracy(predicted, labels)
            measured[f"worst_class_accuracy/{environment}"] = worst_class_accuracy(by_class)
            measured[f"macro_accuracy/{environment}"] = macro_accuracy(by_class)
            by_group = worst_group_accuracy(predicted, labels, split.shortcuts[counted])
            measured[f"worst_group_accuracy/{environment}"] = by_group
            measured |= {f"class_accuracy/{environment}/{k}": by_class[..., k] for k in labels.unique().tolist()}
    return measured


def worst_group_accuracy(
    predictions: Int[Tensor, "*stack n"], labels: Int[Tensor, "n"], shortcuts: Int[Tensor, "n"]
) -> Float[Tensor, "*stack"]:
    """The lowest accuracy of a group (Sagawa et al. 2020, arxiv.org/abs/1911.08731): inputs of one label and one value.

    Inputs without a shortcut value (-1) are in no group. NaN if there is no group. Benchmarks of groups have hundreds
    of inputs in the smallest; the 500 test digits have five in each of 100 groups, where `training_weighted_accuracy`
    and `shortcut_gap` say more.
    """
    valued = shortcuts >= 0
    groups = labels[valued] * (int(shortcuts.max()) + 1 if len(shortcuts) else 1) + shortcuts[valued]
    if not len(groups):
        return torch.full(predictions.shape[:-1], torch.nan, dtype=torch.float64)
    present, group = groups.unique(return_inverse=True)
    members = F.one_hot(group, len(present)).double()
    return ((predictions == labels)[..., valued].double() @ members / members.sum(0)).amin(-1)


@metrics.measured_by(
    Metric("accuracy/train", "higher", 0, 1, _GUESSES, "Accuracy on the inputs that were trained on."),
    Metric("accuracy/validation", "higher", 0, 1, _GUESSES, "Accuracy on inputs held out from the training set."),
    Metric(
        "accuracy/validation_swap",
        "higher",
        0,
        1,
        _GUESSES,
        "Validation accuracy after the masked region is exchanged between inputs.",
    ),
)
def training_accuracies(evaluated: Evaluated) -> Values:
    """The accuracies on the splits of the training distribution."""
    return {
        f"accuracy/{name}": accuracy(evaluated.predictions[name], evaluated.splits[name].labels)
        for name in ("train", "validation", "validation_swap")
        if name in evaluated.predictions
    }
