"""Suites of any size, and records as large as those of trained runs, with made-up numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..store.record import Record
from ..suite.loading import parse_suite
from ..suite.stack import Stack
from ..suite.sweep import Suite

STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 5))
"""Of RRR, beside ERM: a sweep has ten runs a seed."""
EPOCHS = 10
CURVES = ("right_answer", "right_reason", "accuracy/validation")
METRICS = (
    "flip_rate", "follow_rate", "aligned_conflict_gap", "accuracy/validation_swap", "empty_masks",
    "seconds", "seconds/setup",
    *(f"{m}/{e}" for m in ("accuracy", "worst_class_accuracy")
      for e in ("aligned", "random", "conflict", "reversed", "clean")),
    *(f"{m}/{e}" for m in ("unattributed", "mass_abs", "mass_abs_over_chance", "pointing_game_abs",
                           "rank_accuracy_abs", "rule_score_abs", "wrong_reason_pos")
      for e in ("input_gradient", "input_gradient_predicted", "integrated_gradients")),
)  # fmt: skip


def suite_of(runs: int, seeds: int = 10) -> Suite:
    """A suite of so many runs."""
    return parse_suite({"name": f"{runs} runs", **content_of(runs, seeds)}, "made up")


def content_of(runs: int, seeds: int) -> dict[str, Any]:
    """The TOML file of a suite of so many runs: sweeps that differ in the network's width."""
    mitigations = [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": list(STRENGTHS)}]
    sweeps = [
        {
            "dataset": {"name": "decoy", "base": "digits"},
            "network": {"name": "mlp", "hidden": [width]},
            "mitigations": mitigations,
        }
        for width in range(1, runs // (seeds * (1 + len(STRENGTHS))) + 1)
    ]
    return {"seeds": list(range(seeds)), "sweeps": sweeps}


def made_up(stack: Stack, strength: float, seed: int) -> Record:
    """The record of a run that nobody trained."""
    rng = np.random.default_rng([seed, int(1e6 * strength)])
    curves = {name: rng.random(EPOCHS).tolist() for name in CURVES}
    metrics = dict(zip(METRICS, rng.random(len(METRICS)).tolist(), strict=True))
    last = {name: curve[-1] for name, curve in curves.items()}
    digest = f"{seed:064x}"
    return Record.for_run(stack, strength, seed, "finished", metrics=metrics | last, curves=curves, digest=digest)
