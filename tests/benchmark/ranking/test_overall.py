"""Mean ranks over sweeps, worked by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from rrrbench.benchmark.ranking.overall import rank_overall


def runs(sweep, needs="masks", **by_method):
    """Runs of one sweep: a method's headline accuracy by seed."""
    rows = [
        (sweep, name, "" if name in ("erm", "l2") else needs, 0.0 if name == "erm" else 1.0, seed, value)
        for name, values in by_method.items()
        for seed, value in enumerate(values)
    ]
    table = pd.DataFrame(rows, columns=["sweep_key", "mitigation", "needs", "strength", "seed", "accuracy/random"])
    table["run_key"] = [f"{sweep}{i}" for i in range(len(table))]
    return table.assign(status="finished", masks="true", error="", **{"accuracy/validation": 0.9})


def test_ranks_and_shares_are_means_over_sweeps():
    one = runs("a", erm=[0.5, 0.5], rrr=[0.9, 0.9], l2=[0.7, 0.7])
    other = runs("b", erm=[0.6, 0.6], rrr=[0.5, 0.5])
    board = rank_overall(pd.concat([one, other]), "knee").set_index("mitigation")
    assert board["rank"].to_dict() == {"l2": 2, "rrr": 1.5, "erm": 2}
    assert board["beaten"].to_dict() == {"l2": 0.5, "rrr": 0.5, "erm": 0.5}
    assert board["of"].to_dict() == {"l2": 3, "rrr": 2.5, "erm": 2.5}
    assert board.loc["rrr", "gain"] == pytest.approx((0.4 - 0.1) / 2)
    assert board.loc["rrr", ["sweeps", "better", "worse"]].tolist() == [2, 1, 1]
    assert pd.isna(board.loc["erm", "gain"])


def test_seeds_that_disagree_make_the_interval_wide():
    board = rank_overall(runs("a", erm=[0.5, 0.7, 0.5, 0.7], rrr=[0.7, 0.5, 0.7, 0.5]), "knee").set_index("mitigation")
    assert (board["rank:low"]["rrr"], board["rank:high"]["rrr"]) == (1, 2)
    sure = rank_overall(runs("a", erm=[0.5, 0.6], rrr=[0.7, 0.8]), "knee").set_index("mitigation")
    assert (sure["rank:low"]["rrr"], sure["rank:high"]["rrr"]) == (1, 1)


def test_the_interval_of_a_gain_is_cut_at_what_a_gain_can_be():
    board = rank_overall(runs("a", erm=[0.0, 1.0], rrr=[1.0, 1.0]), "knee").set_index("mitigation")
    assert board.loc["rrr", ["gain", "gain:low", "gain:high"]].tolist() == [0.5, -1, 1]


def test_a_run_of_two_suites_counts_once():
    one = runs("a", erm=[0.5, 0.5], rrr=[0.9, 0.9])
    pd.testing.assert_frame_equal(rank_overall(pd.concat([one, one]), "knee"), rank_overall(one, "knee"))


def test_bounds_wrong_masks_and_unfinished_methods_are_not_ranked():
    table = runs("a", erm=[0.5, 0.5], rrr=[0.9, 0.9], r4=[0.8, 0.8])
    bound = runs("a", "twins", oracle_clean=[1, 1]).assign(run_key=["x", "y"])
    wrong = runs("a", pgd_ex=[1, 1]).assign(masks="wrong", run_key=["v", "w"])
    table.loc[(table["mitigation"] == "r4") & (table["seed"] == 1), "status"] = "failed"
    assert rank_overall(pd.concat([table, bound, wrong]), "knee")["mitigation"].tolist() == ["rrr", "erm"]


def test_no_sweep_to_rank_is_an_empty_board():
    assert rank_overall(runs("a", rrr=[0.9]), "knee").empty
