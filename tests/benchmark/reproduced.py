"""A published number of the smallest suite, and made-up runs that measure it."""

from __future__ import annotations

import pandas as pd
from rrrbench.benchmark.ranking.published import Published
from tiny import tiny_suite

ROW = {"paper": "own", "source": "table 1", "dataset": "decoy", "network": "mlp", "method": "RRR", "condition": "",
       "metric": "accuracy/random", "value": "0.9", "spread": "", "seeds": "1", "provenance": "read", "note": "",
       "sweep": "main", "mitigation": "rrr", "strength": "0.1", "masks": "true"}  # fmt: skip
SUITE = tiny_suite(label="main", controls=["wrong"])


def row(**changes):
    return Published.model_validate({**ROW, **changes})


def records(stack, values, **changes):
    keys = list(stack.places())
    return pd.DataFrame(
        {"run_key": keys, "status": "finished", "strength": [stack.places()[key][0] for key in keys],
         "seed": [stack.places()[key][1] for key in keys], "accuracy/random": values, "seconds": 30.0, **changes}
    )  # fmt: skip
