"""What a run cost, how its training went, and what its selection lost: measured elsewhere, described here."""

from __future__ import annotations

from math import inf

from .base import Metric

METRICS = (
    Metric("seconds", "lower", 0, inf, "none", "Wall seconds of a run's training, all stages: a share of its stack's."),
    Metric("seconds/setup", "lower", 0, inf, "none", "Likewise, of tracing, trials of engines, and compiling."),
    Metric("seconds_over_erm", "lower", 0, inf, "1 for training as ERM does", "Wall seconds over ERM's, same suite."),
    Metric("regret", "lower", -1, 1, "0 for the oracle's choice", "Accuracy lost to the oracle's choice of strength."),
    Metric("mask_effect", "higher", -1, 1, "0 for wrong masks", "Headline accuracy, true masks minus wrong ones."),
    Metric("strength", "neither", 0, inf, "none", "The lambda that came out of an automatic strength."),
    Metric("adversary_accuracy", "lower", 0, 1, "1 / values", "Of an adversary refitted on the features."),
    Metric("right_answer", "lower", 0, inf, "log(classes) for a uniform prediction", "Right-answer term, last epoch."),
    Metric("right_reason", "lower", 0, inf, "none", "Right-reason term with its strength, last epoch."),
    Metric(
        "liveness/{stage}",
        "neither",
        0,
        inf,
        "0 for a dead penalty",
        "Norm over the parameters of the right-reason term's gradient, over the right-answer term's.",
    ),
)
