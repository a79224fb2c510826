"""bex's front door under its own names and arguments, without its known faults: `docs/counterfactuals.md`.

    from rrrbench.benchmark.compat import bex  # was: import bex

    bn = bex.Benchmark(n_corr=6, corr_level=0.95)
    bn.run("stylex")
    bn.runs([{"explainer": "dive", "lr": 0.1}, {"explainer": "dice", "lr": 0.01}])
    print(bn.summarize())

Written anew over rrrbench's own explainers and generator; no code of bex (`dvd42/Bex`, 0.1) is in here.
"""

from . import explainers, loggers
from .benchmark import Benchmark
from .explainers import LCF, Dice, Dive, ExplainerBase, GrowingSpheres, InformedSearch, Stylex, Xgem
from .loggers import BasicLogger, MlflowLogger

__all__ = [
    "LCF",
    "BasicLogger",
    "Benchmark",
    "Dice",
    "Dive",
    "ExplainerBase",
    "GrowingSpheres",
    "InformedSearch",
    "MlflowLogger",
    "Stylex",
    "Xgem",
    "explainers",
    "loggers",
]
