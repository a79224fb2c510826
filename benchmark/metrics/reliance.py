"""Causal reliance on the shortcut: what predictions do when the shortcut alone is changed.

Environments are twins: the same base inputs in the same order, different inside the mask alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...datasets.base import Environment, ShortcutDataset, Split
from .accuracy import accuracy
from .base import Metric

METRICS = (
    Metric(
        "flip_rate",
        "lower",
        0,
        1,
        "1 - 1/classes for guesses drawn anew, 0 for a network that is blind to the shortcut",
        "Share of the predictions that change when the shortcut alone is redrawn.",
    ),
    Metric(
        "follow_rate",
        "lower",
        0,
        1,
        "1/values for guesses, where as many classes carry each value",
        "Share of the conflict predictions whose class carries the shortcut value shown.",
    ),
    Metric("aligned_conflict_gap", "lower", -1, 1, "0", "Accuracy that a conflicting shortcut costs."),
)


def flip_rate(
    aligned: Int[Tensor, "*stack n"], random: Int[Tensor, "*stack n"], counted: Bool[Tensor, "n"]
) -> Float[Tensor, "*stack"]:
    """Share of the `counted` twins whose predictions differ; NaN if none is counted."""
    return _share(aligned != random, counted)


def follow_rate(
    predictions: Int[Tensor, "*stack n"], shortcuts: Int[Tensor, "n"], class_shortcuts: Int[Tensor, "classes"]
) -> Float[Tensor, "*stack"]:
    """Share of the predictions whose class carries the shortcut value shown; NaN if no input shows one.

    Several classes may carry one value, so this is not `predictions == shortcuts`.
    """
    return _share(class_shortcuts[predictions] == shortcuts, shortcuts >= 0)


def redrawn(one: Split, other: Split) -> Bool[Tensor, "n"]:
    """Which twins show two different shortcut values: those without a mask show nothing, whatever their value says."""
    shown = one.masks.flatten(1).any(1) | other.masks.flatten(1).any(1)
    return (one.shortcuts != other.shortcuts) & shown


def flips(
    predictions: Mapping[Environment, Int[Tensor, "strengths n"]], dataset: ShortcutDataset, most: int
) -> list[list[tuple[int, int, int]]]:
    """Of each network, the first twins that `flip_rate` counts as flipped: input, prediction in `aligned`, in `random`.

    Empty where one of the two was not predicted.
    """
    if "aligned" not in predictions or "random" not in predictions:
        return []
    counted = redrawn(dataset.test("aligned"), dataset.test("random"))
    pairs = zip(predictions["aligned"].cpu(), predictions["random"].cpu(), strict=True)
    return [
        [(i, int(one[i]), int(other[i])) for i in ((one != other) & counted).nonzero()[:most, 0].tolist()]
        for one, other in pairs
    ]


def measure(
    predictions: Mapping[Environment, Int[Tensor, "*stack n"]], dataset: ShortcutDataset
) -> dict[str, Float[Tensor, "*stack"]]:
    """Each metric whose environments were predicted and have inputs that count; the others are absent, never zero."""
    measured = {}
    aligned, random, conflict = (predictions.get(e) for e in ("aligned", "random", "conflict"))
    if aligned is not None and random is not None:
        counted = redrawn(dataset.test("aligned"), dataset.test("random"))
        if counted.any():
            measured["flip_rate"] = flip_rate(aligned, random, counted.to(aligned.device))
    if conflict is not None:
        shortcuts = dataset.test("conflict").shortcuts
        if (shortcuts >= 0).any():
            carried = dataset.class_shortcuts.to(conflict.device)
            measured["follow_rate"] = follow_rate(conflict, shortcuts.to(conflict.device), carried)
    if aligned is not None and conflict is not None and aligned.shape[-1]:
        labels, twins = (dataset.test(e).labels.to(aligned.device) for e in ("aligned", "conflict"))
        measured["aligned_conflict_gap"] = accuracy(aligned, labels) - accuracy(conflict, twins)
    return measured


def _share(happened: Bool[Tensor, "*stack n"], counted: Bool[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    return (happened & counted).sum(-1, dtype=torch.float64) / counted.sum()
