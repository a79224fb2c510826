"""Causal reliance on the shortcut: what predictions do when the shortcut alone is changed.

Environments are twins: the same base inputs in the same order, different inside the mask alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...datasets.base import ShortcutDataset, Split
from ...datasets.planter import planters
from .accuracy import accuracy
from .base import Metric, Values, metrics
from .column import Column
from .evaluated import Evaluated


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


def probability_shift(
    one: Float[Tensor, "*stack n classes"],
    other: Float[Tensor, "*stack n classes"],
    labels: Int[Tensor, "n"],
    counted: Bool[Tensor, "n"],
) -> Float[Tensor, "*stack"]:
    """Mean over the `counted` twins of |p_y(x) - p_y(x')|, of logits of both; NaN if none is counted.

    A flip needs two probabilities to change places, so few networks differ in their flips near 0; they differ in this.
    """
    p, q = (_of_label(logits, labels) for logits in (one, other))
    return ((p - q).abs() * counted).sum(-1) / counted.sum()


def _of_label(logits: Float[Tensor, "*stack n classes"], labels: Int[Tensor, "n"]) -> Float[Tensor, "*stack n"]:
    """The probability of each input's label."""
    index = labels.expand(logits.shape[:-1])[..., None]
    return logits.double().softmax(-1).gather(-1, index)[..., 0]


def redrawn(one: Split, other: Split) -> Bool[Tensor, "n"]:
    """Which twins show two different shortcut values: those without a mask show nothing, whatever their value says.

    Where several shortcuts are planted, a twin shows another value if any of them differs.
    """
    changed = one.shortcuts != other.shortcuts
    for name, values in one.planted.items():
        changed = changed | (values != other.planted[name])
    return changed & (one.shown | other.shown)


def flips(
    predictions: Mapping[str, Int[Tensor, "strengths n"]], dataset: ShortcutDataset, most: int
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


@metrics.measured_by(
    Metric(
        "flip_rate",
        "lower",
        0,
        1,
        "1 - 1/classes for guesses drawn anew, 0 for a network that is blind to the shortcut",
        "Share of the predictions that change when the shortcut alone is redrawn.",
        (Column("flip_rate", "flip_rate", order=20),),
    )
)
def flip_rates(evaluated: Evaluated) -> Values:
    """Absent where no twin of `aligned` and `random` shows another shortcut value."""
    if not {"aligned", "random"} <= evaluated.predictions.keys():
        return {}
    counted = redrawn(evaluated.draw.test("aligned"), evaluated.draw.test("random"))
    if not counted.any():
        return {}
    return {"flip_rate": flip_rate(evaluated.predictions["aligned"], evaluated.predictions["random"], counted)}


@metrics.measured_by(
    Metric(
        "flip_rate/{planter}",
        "lower",
        0,
        1,
        "1 - 1/classes for guesses drawn anew, 0 for a network that is blind to this shortcut",
        "Of several shortcuts: share of the predictions that change when this one alone is redrawn.",
        tuple(
            Column(f"flip_rate/{name}", f"flip_rate\n/{name}", f"when the {name} alone is redrawn", order=21)
            for name in planters.names()
        ),
    )
)
def flip_rates_of_planters(evaluated: Evaluated) -> Values:
    """Of each planter whose shortcut is redrawn alone in an environment of the dataset."""
    measured = {}
    for name in evaluated.predictions:
        planter = name.removeprefix("random_")
        if planter != name and "aligned" in evaluated.predictions:
            counted = redrawn(evaluated.draw.test("aligned"), evaluated.draw.test(name))
            aligned, other = evaluated.predictions["aligned"], evaluated.predictions[name]
            measured[f"flip_rate/{planter}"] = flip_rate(aligned, other, counted)
    return measured


@metrics.measured_by(
    Metric(
        "probability_shift",
        "lower",
        0,
        1,
        "0 for a network that is blind to the shortcut",
        "Mean change of the label's probability when the shortcut alone is redrawn.",
    )
)
def probability_shifts(evaluated: Evaluated) -> Values:
    """Absent where no twin of `aligned` and `random` shows another shortcut value."""
    if not {"aligned", "random"} <= evaluated.logits.keys():
        return {}
    one, other = evaluated.draw.test("aligned"), evaluated.draw.test("random")
    if not (counted := redrawn(one, other)).any():
        return {}
    aligned, random = evaluated.logits["aligned"].cpu(), evaluated.logits["random"].cpu()
    return {"probability_shift": probability_shift(aligned, random, one.labels, counted)}


def graded_reliance(
    valued: Float[Tensor, "values *stack n classes"], labels: Int[Tensor, "n"], own: Int[Tensor, "n"]
) -> tuple[Float[Tensor, "*stack"], Float[Tensor, "*stack"]]:
    """Mean over the inputs of |p_y(x with v) - p_y(x with its own value)|: over all other values v the mean, the most.

    Args:
        valued: logits of the same inputs with each shortcut value.
        own: the value that each input's class carries.
    """
    change = label_changes(valued, labels, own)
    return (change.sum(0) / (len(valued) - 1)).mean(-1), change.amax(0).mean(-1)


def label_changes(
    valued: Float[Tensor, "values *stack n classes"], labels: Int[Tensor, "n"], own: Int[Tensor, "n"]
) -> Float[Tensor, "values *stack n"]:
    """|p_y(x with v) - p_y(x with its own value)| by value and input; 0 for an input's own value."""
    p = _of_label(valued, labels)
    return (p - p.gather(0, own.expand(p.shape[1:])[None])).abs()


@metrics.measured_by(
    Metric(
        "graded_reliance",
        "lower",
        0,
        1,
        "0 for a network that is blind to the shortcut",
        "Mean change of the label's probability when the shortcut has another value, over all other values.",
    ),
    Metric(
        "graded_reliance_worst",
        "lower",
        0,
        1,
        "0 for a network that is blind to the shortcut",
        "Likewise, with the value that changes the probability most.",
    ),
)
def graded_reliances(evaluated: Evaluated) -> Values:
    """Absent where inputs cannot be rendered with every value, or where there is one value alone."""
    draw = evaluated.draw
    if draw.with_value is None or len(evaluated.valued) < 2 or not len(split := draw.with_value(0)):
        return {}
    logits = torch.stack([of_value.cpu() for of_value in evaluated.valued.values()])
    mean, worst = graded_reliance(logits, split.labels, draw.class_shortcuts[split.labels])
    return {"graded_reliance": mean, "graded_reliance_worst": worst}


@metrics.measured_by(
    Metric(
        "follow_rate",
        "lower",
        0,
        1,
        "1/values for guesses, where as many classes carry each value",
        "Share of the conflict predictions whose class carries the shortcut value shown.",
    )
)
def follow_rates(evaluated: Evaluated) -> Values:
    """Absent where no input of `conflict` shows a shortcut value."""
    if "conflict" not in evaluated.predictions:
        return {}
    shortcuts = evaluated.draw.test("conflict").shortcuts
    if not (shortcuts >= 0).any():
        return {}
    return {"follow_rate": follow_rate(evaluated.predictions["conflict"], shortcuts, evaluated.draw.class_shortcuts)}


@metrics.measured_by(Metric("aligned_conflict_gap", "lower", -1, 1, "0", "Accuracy that a conflicting shortcut costs."))
def aligned_conflict_gap(evaluated: Evaluated) -> Values:
    """Absent where an environment of the two is absent or has no inputs."""
    if not {"aligned", "conflict"} <= evaluated.predictions.keys() or not len(evaluated.draw.test("aligned")):
        return {}
    aligned, conflict = (
        accuracy(evaluated.predictions[name], evaluated.draw.test(name).labels) for name in ("aligned", "conflict")
    )
    return {"aligned_conflict_gap": aligned - conflict}


def _share(happened: Bool[Tensor, "*stack n"], counted: Bool[Tensor, "n"]) -> Float[Tensor, "*stack"]:
    return (happened & counted).sum(-1, dtype=torch.float64) / counted.sum()
