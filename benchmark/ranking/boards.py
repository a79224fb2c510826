"""Which board a suite has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from ..suite.sweep import Suite
from . import counterfactual_board, explainer_board, leaderboard
from .leaderboard import Format


def board_of(suite: Suite, runs: pd.DataFrame, rule: str) -> Callable[[Format], str]:
    """A suite's counterfactual explainers, its explainers, or its mitigations, ranked and ready to be rendered.

    Args:
        runs: flat rows.
        rule: a name in `selection.RULES`.
    """
    if suite.counterfactuals:
        return partial(counterfactual_board.render, counterfactual_board.counterfactual_board(runs))
    if suite.explainers:
        return partial(explainer_board.render, explainer_board.explainer_board(runs), runs)
    board, left_out = leaderboard.leaderboard(runs, rule), leaderboard.unranked(runs, rule)
    return partial(leaderboard.render, board, left_out=left_out)
