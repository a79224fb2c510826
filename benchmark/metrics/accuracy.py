"""Accuracy, of all inputs and of the class that fares worst, in each environment."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import Environment, ShortcutDataset
from .base import Metric

_GUESSES = "1/classes for guesses"
METRICS = (
    Metric("accuracy/{environment}", "higher", 0, 1, _GUESSES, "Share of the test inputs predicted rightly."),
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


def measure(
    predictions: Mapping[Environment, Int[Tensor, "*stack n"]], dataset: ShortcutDataset
) -> dict[str, Float[Tensor, "*stack"]]:
    """The accuracies in every environment that was predicted and has inputs."""
    measured = {}
    for environment, predicted in predictions.items():
        labels = dataset.test(environment).labels.to(predicted.device)
        if len(labels):
            by_class = class_accuracy(predicted, labels, dataset.classes)
            measured[f"accuracy/{environment}"] = accuracy(predicted, labels)
            measured[f"worst_class_accuracy/{environment}"] = worst_class_accuracy(by_class)
            measured[f"macro_accuracy/{environment}"] = macro_accuracy(by_class)
            measured |= {f"class_accuracy/{environment}/{k}": by_class[..., k] for k in labels.unique().tolist()}
    return measured
