"""Flat rows: records as a table, a row a run, which rankings and pages read."""

from __future__ import annotations

IDENTITY = (
    *("dataset", "network", "training", "mitigation", "masks", "strength", "seed", "run_key", "sweep_key", "status"),
    *("needs", "error", "protocol", "git_commit"),
)
"""The columns of a flat row before its metrics. `training` are the settings that differ from their defaults; runs are
compared where `sweep_key` is the same, and names are for display."""
DETAILS = ("dataset_digest", "dirty", "versions", "flips")
"""What a run's page shows beside the flat row: where it came from, and the twins on which it flips."""
