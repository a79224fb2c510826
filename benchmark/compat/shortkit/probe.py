"""Whether a group can still be read from the features of a method that was to hide it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from ....methods.groups import balancing_weights
from ....methods.last_layer import logistic_regression
from .embeddings import Encoding

FOLDS = 5
READABLE = 0.1


class GroupStays(UserWarning):
    """A fitted method's features still say which group an embedding is of."""


@dataclass(frozen=True)
class Probe:
    """How well a logistic regression reads the group, by 5-fold cross-validation.

    All (label, group) pairs weigh the same in fitting and in scoring, so that a label that goes with a group does not
    pass for the group.

    Attributes:
        chance: accuracy of the best constant answer; 1 / the number of groups if every label occurs in every group.
        error: standard error of the accuracy at chance.
    """

    accuracy: float
    chance: float
    error: float

    @property
    def reads(self) -> bool:
        """Whether the accuracy is above chance by 0.1 and by two standard errors."""
        return self.accuracy > self.chance + max(READABLE, 2 * self.error)


def probed(features: Float[np.ndarray, "n width"], labels: Int[np.ndarray, "n"], groups: Int[np.ndarray, "n"]) -> Probe:
    """Fits a logistic regression from features to groups on four fifths, and scores it on the last; five times."""
    pairs = torch.from_numpy(labels)[None], torch.from_numpy(groups)[None]
    weight = balancing_weights(*pairs, torch.float64)[0].numpy()
    fold, right = np.empty(len(features), np.int64), np.zeros(len(features), bool)
    fold[np.lexsort((labels, groups))] = np.arange(len(features)) % FOLDS  # so that folds share a group's members
    for held_out in range(FOLDS):
        fitting, scoring = fold != held_out, fold == held_out
        if scoring.any():
            model = logistic_regression().fit(
                features[fitting].astype(np.float64), groups[fitting], logisticregression__sample_weight=weight[fitting]
            )
            right[scoring] = model.predict(features[scoring].astype(np.float64)) == groups[scoring]
    share = weight / weight.sum()
    chance = float(np.bincount(groups, share).max())
    return Probe(float(share @ right), chance, float(np.sqrt(chance * (1 - chance) * (share**2).sum())))


def accuracy_of_probe(
    method: Encoding,
    embeddings: Float[np.ndarray, "n width"],
    labels: Int[np.ndarray, "n"],
    groups: Int[np.ndarray, "n"],
    advice: str,
) -> float:
    """The accuracy of a probe on the features; a warning by name if the probe reads the group.

    Args:
        advice: what may hide the group.
    """
    after = probed(method.transform(embeddings), labels, groups)
    if after.reads:
        before = probed(embeddings, labels, groups)
        warnings.warn(
            f"{type(method).__name__} has not removed the group: a logistic regression reads it from the features with "
            f"accuracy {after.accuracy:.2f}, from the embeddings with {before.accuracy:.2f}, chance is "
            f"{after.chance:.2f}. {advice}",
            GroupStays,
            stacklevel=3,
        )
    return after.accuracy


def check_groups(name: str, groups: Int[np.ndarray, "n"]) -> None:
    """Raises ValueError unless a probe can be fitted on two groups and scored on other embeddings of them."""
    sizes = np.bincount(groups)
    if (sizes >= 2).sum() < 2:
        raise ValueError(
            f"{name} have {len(sizes)} groups, the largest of {sorted(sizes.tolist())[-2:]} embeddings: whether a "
            "group is hidden can be measured with 2 embeddings or more of at least 2 groups"
        )
