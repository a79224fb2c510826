"""Which global generators a computation draws from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def noticed() -> Iterator[list[str]]:
    """Gives a list that names, after the block, the generators drawn from; their states are restored."""
    drawn: list[str] = []
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]):
        state = torch.get_rng_state()
        try:
            yield drawn
        finally:
            if not torch.equal(state, torch.get_rng_state()):
                drawn.append("torch")
            if python != random.getstate():
                drawn.append("random")
            if any(not np.array_equal(one, other) for one, other in zip(numpy, np.random.get_state(), strict=True)):  # noqa: NPY002
                drawn.append("numpy.random")
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
