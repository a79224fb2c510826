"""rrrbench: the referee for shortcut mitigation.

`evaluate` judges a network that you trained. `sweep` trains mitigations on a dataset and compares them; `run` does the
same of a suite. `image_folder` is a dataset of your own photos, `make` draws a dataset with a known shortcut, and
`rrr_loss` is RRR's loss for your own training loop. All are imported when they are first used, because importing torch
takes seconds.
"""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import Any

__version__ = metadata.version("rrrbench")
__all__ = ["__version__", "evaluate", "image_folder", "make", "rrr_loss", "run", "sweep"]

_HOMES = {
    "evaluate": "rrrbench.benchmark.judge",
    "image_folder": "rrrbench.datasets.image_folder",
    "make": "rrrbench.datasets",
    "rrr_loss": "rrrbench.methods",
    "run": "rrrbench.benchmark.api",
    "sweep": "rrrbench.benchmark.api",
}

SPINS = "1000"
"""Turns for which a waiting thread of torch's OpenMP on Linux (libgomp) spins before it sleeps."""
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    # libgomp reads it when torch is loaded; on a busy machine, threads that spin take the core that they wait for
    os.environ["GOMP_SPINCOUNT"] = SPINS


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rrrbench' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
