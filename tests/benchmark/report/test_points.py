"""The numbers of pictures: which rows lead, masks in words, points of a trade-off."""

from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest
from boards import a_board
from rrrbench.benchmark.ranking.statistics import interval
from rrrbench.benchmark.report.points import annotated_inputs, chosen, leading, over_strengths, trade_offs


def test_the_best_group_is_those_whose_intervals_reach_the_best():
    rows = [("a", "true", 0.9, 0.88, 0.92), ("b", "true", 0.87, 0.85, 0.89), ("c", "true", 0.8, 0.7, 0.87)]
    assert leading(a_board(*rows)).tolist() == [True, True, False]


def test_no_group_is_best_where_intervals_separate_none_and_controls_never_are():
    rows = [("a", "true", 0.9, 0.8, 0.95), ("b", "true", 0.87, 0.8, 0.92), ("c", "wrong", 0.99, 0.98, 1.0)]
    assert leading(a_board(*rows)).tolist() == [False, False, False]
    assert not leading(a_board(*rows).drop(columns="accuracy/random")).any()


def test_masks_in_words_as_numbers_of_inputs():
    named = ["true", "on 25 inputs", "wrong", "half, on 25 inputs"]
    assert [annotated_inputs(masks) for masks in named] == [float("inf"), 25, None, None]


def test_a_trade_off_has_a_point_a_strength_with_the_leaderboards_numbers():
    runs = pd.DataFrame(
        {
            "mitigation": "rrr",
            "masks": "true",
            "status": "finished",
            "strength": [1.0, 1.0, 10.0, 10.0],
            "seed": [0, 1, 0, 1],
            "accuracy/random": [0.8, 0.9, 0.7, 0.7],
            "flip_rate": [0.2, 0.1, 0.0, 0.0],
        }
    )
    ((name, line),) = trade_offs(runs)
    assert (name, line.index.tolist()) == ("rrr", [1.0, 10.0])
    mean, low, high = interval(runs["accuracy/random"].to_numpy()[:2]).within(0, 1)
    assert line.loc[1.0, ["accuracy", "accuracy:low", "accuracy:high"]].tolist() == pytest.approx([mean, low, high])
    assert all(a > b for a, b in pairwise(line["reliance"]))
    assert line.loc[1.0, ["reliance:low", "accuracy:high"]].tolist() == [0, 1], "cut at the range of a share"
    assert over_strengths(runs, "flip_rate")["mean"].tolist() == pytest.approx([0.15, 0.0])
    assert chosen(a_board(("rrr", "true", 0.8, 0.7, 0.9)), "rrr") == 1.0
    assert chosen(a_board(("rrr", "wrong", 0.8, 0.7, 0.9)), "rrr") is None
