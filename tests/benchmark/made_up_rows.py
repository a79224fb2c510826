"""Flat rows of a suite's runs, with numbers that are drawn at random: as if the suite had been trained."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
from rrrbench.benchmark.counterfactuals.metrics import METRICS
from rrrbench.benchmark.report.recorded import Recorded
from rrrbench.benchmark.suite.protocol import PROTOCOL_VERSION
from rrrbench.benchmark.suite.sweep import Suite

SHARES = ("accuracy/validation", "accuracy/validation_swap", "accuracy/random", "flip_rate")


def made_up_rows(suite: Suite) -> pd.DataFrame:
    """A finished run for every key, with the columns of `store.frames.flat`."""
    rng, rows = np.random.default_rng(0), {}
    explained = {f"mass_abs/{explainer.id}": 0.0 for explainer in suite.explainers}
    for stack in suite.stacks():
        for key, (strength, seed) in stack.places().items():
            rows[key] = {
                **{"masks": "true", "needs": "", **stack.names, "strength": strength, "seed": seed},
                **{"run_key": key, "sweep_key": stack.sweep_key, "status": "finished", "error": ""},
                **{"protocol": PROTOCOL_VERSION, "git_commit": "0" * 40},
                **{name: rng.uniform() for name in (*SHARES, *explained)},
                **({metric.id: rng.uniform() for metric in METRICS} if suite.counterfactuals else {}),
                "seconds": 1.0 + rng.uniform(),
            }
    return pd.DataFrame(rows.values())


def made_up_recording(suite: Suite) -> Recorded:
    """The same rows with all that a run's page shows."""
    configurations = {
        key: json.dumps(stack.configuration(*place))
        for stack in suite.stacks()
        for key, place in stack.places().items()
    }
    details = dict.fromkeys(("dataset_digest", "dirty", "versions", "flips", "curves"), "")
    runs = made_up_rows(suite).assign(**details)
    runs["configuration"] = runs["run_key"].map(configurations)
    return Recorded(suite.name, suite.description, runs)
