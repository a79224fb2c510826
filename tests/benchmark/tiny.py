"""The smallest suite that trains: a module of its own, for processes that tests start import it too."""

from __future__ import annotations

from rrrbench.benchmark.suite.loading import parse_suite


def tiny_suite(name="tiny", epochs=2, seeds=(0, 1), **changes):
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": epochs, "batch_size": 128},
        "mitigations": [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1, 1.0]}],
    }
    return parse_suite({"name": name, "seeds": list(seeds), "sweeps": [{**sweep, **changes}]}, "tiny")
