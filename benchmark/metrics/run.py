"""What a run cost and how its training went; and numbers that other floors compute, described here.

`right_answer` and `right_reason` are curves of the training, `strength` and `adversary_accuracy` come from a
mitigation's `fit`, and `regret`, `mask_effect`, `gain` and `seconds_over_erm` compare runs in a leaderboard.
"""

from __future__ import annotations

from math import inf

from .base import Metric, Values, metrics
from .column import Column
from .evaluated import Evaluated

metrics.describe(
    Metric(
        "seconds_over_erm",
        "lower",
        0,
        inf,
        "1 for training as ERM does",
        "Wall seconds over ERM's, same suite.",
        (
            Column(
                "seconds_over_erm",
                "cost",
                "mean seconds of a run over erm's; a wide stack shares its work",
                decimals=1,
                interval=False,
                order=60,
            ),
        ),
    ),
    Metric(
        "regret",
        "lower",
        -1,
        1,
        "0 for the oracle's choice",
        "Accuracy lost to the oracle's choice of strength.",
        (
            Column(
                "regret",
                "regret",
                "headline accuracy lost to the oracle's choice, which is a bound, never a result",
                order=50,
            ),
        ),
    ),
    Metric(
        "mask_effect",
        "higher",
        -1,
        1,
        "0 for wrong masks",
        "Headline accuracy, true masks minus wrong ones.",
        (
            Column(
                "mask_effect",
                "mask effect",
                "headline accuracy with true masks minus that with wrong ones, by seed, at the same strength; "
                "mask-independent: its interval reaches 0",
                order=40,
            ),
        ),
    ),
    Metric("gain", "higher", -1, 1, "0 for ERM", "Headline accuracy over ERM's, by seed."),
    Metric("strength", "neither", 0, inf, "none", "The lambda that came out of an automatic strength."),
    Metric("adversary_accuracy", "lower", 0, 1, "1 / values", "Of an adversary refitted on the features."),
    Metric("right_answer", "lower", 0, inf, "log(classes) for a uniform prediction", "Right-answer term, last epoch."),
    Metric(
        "right_reason",
        "lower",
        -inf,
        inf,
        "none",
        "Right-reason term with its strength, last epoch; the unbiased estimates of `irm` and `eiil` go below 0.",
    ),
)


@metrics.measured_by(
    Metric("seconds", "lower", 0, inf, "none", "Wall seconds of a run's training, all stages: a share of its stack's."),
    Metric("seconds/setup", "lower", 0, inf, "none", "Likewise, of tracing, trials of engines, and compiling."),
)
def seconds(evaluated: Evaluated) -> Values:
    """A stack's seconds are shared equally among its runs."""
    return {"seconds": evaluated.seconds, "seconds/setup": evaluated.setup_seconds}


@metrics.measured_by(
    Metric(
        "liveness/{stage}",
        "neither",
        0,
        inf,
        "0 for a dead penalty",
        "Norm over the parameters of the right-reason term's gradient, over the right-answer term's.",
    )
)
def liveness(evaluated: Evaluated) -> Values:
    """By stage; absent for a mitigation without a strength."""
    return {f"liveness/{stage}": values for stage, values in evaluated.liveness.items()}
