"""Which board a suite has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from ..suite.sweep import Suite
from . import explainer_board, leaderboard
from .leaderboard import Format


def board_of(suite: Suite, runs: pd.DataFrame, rule: str) -> Callable[[Format], str]:
    """A suite's explainers by how they follow reliance, or its mitigations by how they fare, to be rendered.

    Args:
        runs: flat rows.
        rule: a name in `selection.RULES`.
    """
    if suite.explainers:
        return partial(explainer_board.render, explainer_board.explainer_board(runs), runs)
    board, left_out = leaderboard.leaderboard(runs, rule), leaderboard.unranked(runs, rule)
    return partial(leaderboard.render, board, left_out=left_out)
