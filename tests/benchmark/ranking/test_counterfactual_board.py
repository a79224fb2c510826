"""The ranking of counterfactual explainers, on rows whose means are known."""

import math

import pandas as pd
import pytest
from rrrbench.benchmark.counterfactuals.metrics import METRICS
from rrrbench.benchmark.ranking.counterfactual_board import rank_counterfactuals, render_counterfactuals

EXPLAINERS = (("dummy", 0.1, 0.5), ("is", 0.9, 0.6), ("poor", 0.3, 0.4), ("same", 0.1, 0.5))


def rows(explainers=EXPLAINERS, seeds=3, **changes):
    return pd.DataFrame([
        {"dataset": "glyphs", "network": "lenet", "training": "epochs=8", "protocol": "2.0", "sweep_key": "a",
         "mitigation": explainer, "seed": seed, "status": "finished", **{metric.id: 0.5 for metric in METRICS},
         "shortcut_hit_used": hit + 0.01 * seed, "success": success + 0.1 * seed, **changes}
        for explainer, hit, success in explainers
        for seed in range(seeds)
    ])  # fmt: skip


def test_the_best_is_first_and_a_note_says_who_is_no_better_than_the_dummy():
    board = rank_counterfactuals(rows())
    assert list(board["explainer"])[:2] == ["is", "poor"]
    notes = dict(zip(board["explainer"], board["note"], strict=True))
    assert notes == {
        "is": "",
        "dummy": "",
        "poor": "not above dummy: success",
        "same": "not above dummy: shortcut_hit_used, success",
    }
    assert board.loc[0, "success"] == pytest.approx(0.7)


def test_sweeps_are_blocks_in_the_order_of_their_rows_and_never_mixed():
    both = pd.concat([rows(sweep_key="b", dataset="second", success=0.9), rows()])
    board = rank_counterfactuals(both)
    assert list(board["dataset"].unique()) == ["second", "glyphs"]
    assert (board["seeds"] == 3).all()
    text = render_counterfactuals(board, "md")
    assert text.index("### second, lenet, epochs=8: the classifier is right on 0.500") < text.index("### glyphs")


def test_intervals_are_cut_at_their_metrics_ranges():
    runs = rows(EXPLAINERS[:2], seeds=2).assign(trivial=[0.0, 0.1] * 2, cardinality=[3.0, 9.0] * 2)
    board = rank_counterfactuals(runs)
    assert (board["trivial:low"] == 0).all()
    assert (board["trivial:high"] < 1).all()
    assert (board["cardinality:low"] == 0).all()
    assert (board["cardinality:high"] > 9).all(), "it has no largest value"


def test_without_a_dummy_nobody_is_compared_to_it():
    board = rank_counterfactuals(rows(EXPLAINERS[1:]))
    assert (board["note"] == "").all()


def test_a_share_of_nothing_is_the_mean_over_the_other_seeds():
    runs = rows(EXPLAINERS[:2])
    runs.loc[0, "causal_flip"] = math.nan
    board = rank_counterfactuals(runs.drop(columns="cardinality")).set_index("explainer")
    assert (board.loc["dummy", "causal_flip"], board.loc["dummy", "causal_flip:seeds"]) == (0.5, 2)
    assert (board["cardinality:seeds"] == 0).all()
    table = render_counterfactuals(board.reset_index(), "md").splitlines()
    (dummy,) = [line for line in table if line.startswith("| dummy")]
    assert [cell.strip() for cell in dummy.split("|")].count("-") == 1, "the cardinality that nobody has"


def test_failed_runs_are_left_out():
    runs = rows()
    runs.loc[runs["seed"] == 2, "status"] = "failed"
    assert (rank_counterfactuals(runs)["seeds"] == 2).all()
    assert rank_counterfactuals(rows(status="failed")).empty


def test_every_format_has_every_explainer():
    board = rank_counterfactuals(rows())
    assert list(pd.read_csv(pd.io.common.StringIO(render_counterfactuals(board, "csv")))["explainer"]) == list(
        board["explainer"]
    )
    for form in ("table", "md", "tex"):
        assert all(explainer in render_counterfactuals(board, form) for explainer in board["explainer"])
    assert "over 3 seeds" in render_counterfactuals(board)


def test_two_protocols_are_two_blocks_that_say_so():
    old = rows(protocol="1.0", sweep_key="b", success=0.9)
    board = rank_counterfactuals(pd.concat([rows(), old]))
    text = render_counterfactuals(board, "md")
    assert text.index("### glyphs, lenet, epochs=8, protocol 2.0:") < text.index("protocol 1.0:")
    assert (board.loc[board["protocol"] == "1.0", "success"] == 0.9).all()
