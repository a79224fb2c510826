"""How a leaderboard shows a measured value."""

from __future__ import annotations

from typing import NamedTuple


class Column(NamedTuple):
    """A column of a leaderboard: the values under one id of the records.

    Attributes:
        interval: whether a cell has the 95 % interval beside the mean.
        order: columns with smaller numbers stand further to the left.
    """

    id: str
    title: str
    legend: str = ""
    decimals: int = 3
    interval: bool = True
    order: int = 100
