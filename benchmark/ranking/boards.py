"""Which board a suite has: of its mitigations, its explainers, or its counterfactual explainers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd

from ..suite.sweep import Suite
from .counterfactual_board import rank_counterfactuals, render_counterfactuals
from .explainer_board import rank_explainers, render_explainers
from .leaderboard import rank_mitigations, unranked_mitigations
from .rendering import Format, render_mitigations


def board_of(suite: Suite, runs: pd.DataFrame, rule: str) -> Callable[[Format], str]:
    """A suite's counterfactual explainers, its explainers, or its mitigations, ranked and ready to be rendered.

    Args:
        runs: flat rows.
        rule: a name in `selection.RULES`.
    """
    if suite.counterfactuals:
        return partial(render_counterfactuals, rank_counterfactuals(runs))
    if suite.explainers:
        return partial(render_explainers, rank_explainers(runs), runs)
    board, left_out = rank_mitigations(runs, rule), unranked_mitigations(runs, rule)
    return partial(render_mitigations, board, left_out=left_out)
