"""Embeddings with a task, and a group that goes with it."""

from __future__ import annotations

import numpy as np


def embeddings(n=400, correlation=0.95, seed=0):
    """The task in dimensions 0..3; louder, in 4 and 5, the group, which agrees with it at this rate; then noise."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 2, n)
    group = np.where(rng.random(n) < correlation, task, 1 - task)
    hidden = rng.normal(size=(n, 12))
    hidden[:, :4] += (2 * task - 1)[:, None]
    hidden[:, 4:6] += 4 * (2 * group - 1)[:, None]
    return hidden.astype(np.float32), task, group
