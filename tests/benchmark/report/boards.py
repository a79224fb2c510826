"""The least board that a picture needs."""

from __future__ import annotations

import pandas as pd


def a_board(*rows):
    """A board of one sweep, at strength 1."""
    columns = ["mitigation", "masks", "accuracy/random", "accuracy/random:low", "accuracy/random:high"]
    return pd.DataFrame(rows, columns=columns).assign(strength=1.0)
