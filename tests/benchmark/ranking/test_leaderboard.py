"""The ranking of mitigations: choices, means, intervals, costs and the effect of masks."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ranked_runs import METRICS, a_sweep, by_hand, records, with_controls
from rrrbench.benchmark.ranking.leaderboard import UNTRAINED, rank_mitigations, unranked_mitigations, untrained
from rrrbench.benchmark.ranking.rendering import render_mitigations
from rrrbench.benchmark.ranking.selection import RULES
from rrrbench.benchmark.ranking.statistics import interval
from rrrbench.benchmark.store.record import range_of
from scipy.stats import ttest_rel

ROOT = Path(__file__).parents[3]


def test_two_sweeps_worked_by_hand():
    board = rank_mitigations(by_hand(), "val_iid")
    assert board.mitigation.tolist() == ["rrr", "erm"]
    assert board.strength.tolist() == [0.00015, 0]
    rrr, erm = board.to_dict("records")
    assert rrr["accuracy/random"] == pytest.approx(0.75)
    half = 12.70620474 * 0.05  # Student's t with one degree of freedom; 0.7 and 0.8 have the standard error 0.05
    assert (rrr["accuracy/random:low"], rrr["accuracy/random:high"]) == pytest.approx((0.75 - half, 1))  # cut
    assert rrr["regret"] == pytest.approx(0.1)  # the oracle takes 9: by seed 0.9 - 0.7 and 0.8 - 0.8
    assert (rrr["regret:low"], rrr["regret:high"]) == (-1, 1)  # cut: 2 half are 1.27
    assert rrr["seconds_over_erm"] == pytest.approx(2.5)  # (4 + 6) / 2 over (1 + 3) / 2
    assert (erm["regret"], erm["seconds_over_erm"]) == (0, 1)
    assert rrr["gain"] == pytest.approx(0.25)
    assert np.isnan([erm["gain"], erm["gain_p"]]).all()


def test_gains_over_erm_are_by_seed_and_their_p_values_adjusted_within_a_sweep():
    erm, rrr, l2 = ([0.5, 0.52, 0.54], [0.9, 0.93, 0.93], [0.52, 0.52, 0.57])
    runs = pd.concat([a_sweep("erm", [0]), a_sweep("rrr", [1]), a_sweep("l2", [1])])
    runs["accuracy/random"] = [*erm, *rrr, *l2]
    board = rank_mitigations(runs, "knee").set_index("mitigation")
    p = {name: ttest_rel(own, erm).pvalue for name, own in (("rrr", rrr), ("l2", l2))}
    assert board.loc["rrr", "gain"] == pytest.approx(0.4)
    assert board["gain_p"][["rrr", "l2"]].tolist() == pytest.approx([2 * p["rrr"], p["l2"]])
    assert "higher: rrr; lower: none" in render_mitigations(rank_mitigations(runs, "knee"))
    other = runs.assign(sweep_key="other", network="lenet")
    alone = rank_mitigations(pd.concat([runs, other]), "knee")["gain_p"].dropna()
    assert sorted(alone) == pytest.approx(sorted([*board["gain_p"].dropna()] * 2))


def test_every_metric_has_the_mean_and_interval_of_the_selected_runs():
    board = rank_mitigations(records(), "knee").set_index("mitigation")
    runs = records().query("mitigation == 'rrr' and strength == @board.strength['rrr']")
    for metric in METRICS:
        expected = interval(runs[metric].to_numpy()).within(*range_of(metric))
        assert board.loc["rrr", [metric, f"{metric}:low", f"{metric}:high"]].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("path", sorted((ROOT / "results/leaderboard").glob("*.csv")), ids=lambda path: path.stem)
def test_no_interval_of_a_committed_board_leaves_its_metrics_range(path):
    board = pd.read_csv(path)
    metrics = [column for column in board if f"{column}:low" in board]
    assert metrics
    for metric in metrics:
        least, largest = range_of(metric)
        below, above = board[f"{metric}:low"] < least, board[f"{metric}:high"] > largest
        assert not (below | above).any(), metric


@pytest.mark.parametrize("luck", range(5))
def test_regret_is_zero_for_the_oracle_and_never_negative(luck):
    for rule in RULES:
        regret = rank_mitigations(records(luck=luck), rule).regret
        assert (regret == 0).all() if rule == "oracle" else (regret >= 0).all()


def test_shuffled_records_give_the_same_leaderboard_to_the_last_bit():
    runs = records(seeds=5)
    for seed, rule in enumerate(RULES):
        shuffled = rank_mitigations(runs.sample(frac=1, random_state=seed), rule)
        pd.testing.assert_frame_equal(shuffled, rank_mitigations(runs, rule), check_exact=True)


def test_rows_are_ranked_by_the_headline_within_dataset_and_network():
    runs = pd.concat([records(dataset=d, network=n) for d, n in product("ab", ("lenet", "mlp"))])
    board = rank_mitigations(runs, "val_iid")
    settings = board[["dataset", "network"]].apply(tuple, axis=1)
    assert settings.is_monotonic_increasing
    assert board.groupby(settings)["accuracy/random"].apply(lambda best: best.is_monotonic_decreasing).all()


def test_cost_is_over_the_erm_of_the_same_dataset_and_network():
    slow = records(dataset="slow").assign(seconds=lambda runs: runs.seconds * 10)
    lacking = a_sweep("rrr", [1], dataset="lacking")
    board = rank_mitigations(pd.concat([records(), slow, lacking]), "val_iid").query("mitigation == 'rrr'")
    cost = board.set_index("dataset").seconds_over_erm
    assert (cost["decoy-digits"], cost["slow"]) == (2.5, 2.5)
    assert np.isnan(cost["lacking"])


def test_a_metric_under_the_name_of_a_column_that_is_made_here_is_refused_by_name():
    runs = with_controls(gain=0.1)
    made = set(rank_mitigations(runs, "knee")) - set(runs)
    assert {"regret", "mask_effect", "note", "seeds", "accuracy/random:low"} <= made
    for name in made:
        with pytest.raises(ValueError, match=rf"runs have the metric '{re.escape(name)}', which the leaderboard makes"):
            rank_mitigations(runs.assign(**{name: 0.5}), "knee")


def test_cost_is_absent_where_no_erm_was_run():
    board = rank_mitigations(a_sweep("rrr", [1]), "val_iid")
    assert not any("over_erm" in column for column in board)


def test_a_sweep_without_an_eligible_strength_is_unranked_with_its_reason():
    inert = a_sweep("rrr[target=prob_sum]", [1], seeds=5, status="inert")
    runs = pd.concat([records(), inert])
    assert unranked_mitigations(runs).to_dict("records") == [
        {
            **{"dataset": "decoy-digits", "network": "mlp", "mitigation": inert.mitigation[0]},
            **{"training": "", "protocol": "2.0", "sweep_key": "decoy-digits mlp ", "masks": "true"},
            "reason": "5 inert runs",
        }
    ]
    assert inert.mitigation[0] not in rank_mitigations(runs, "knee").mitigation.tolist()


def test_every_sweep_is_either_ranked_or_unranked():
    runs = pd.concat([records(), records(dataset="old").drop(columns="accuracy/validation_swap")])
    missing = unranked_mitigations(runs, "val_swap")
    assert set(missing.dataset) == {"old"}
    assert set(rank_mitigations(runs, "val_swap").dataset) == {"decoy-digits"}
    assert missing.reason.str.contains("accuracy/validation_swap").all()
    assert unranked_mitigations(runs, "val_iid").empty


def test_the_mask_effect_is_the_difference_by_seed_at_the_strength_of_the_true_masks():
    board = rank_mitigations(with_controls(0.2), "val_iid").set_index(["mitigation", "masks"])
    effect = board.loc[("rrr", "true"), ["mask_effect", "mask_effect:low", "mask_effect:high"]].tolist()
    half = 12.70620474 * 0.05  # of 0.2 and 0.3
    assert effect == pytest.approx([0.25, 0.25 - half, 0.25 + half])
    assert board.loc[("rrr", "true"), "note"] == "mask-independent"
    assert np.isnan(board.loc[("rrr", "wrong"), "mask_effect"])
    assert np.isnan(board.loc[("erm", "true"), "mask_effect"])
    assert board.loc[("rrr", "wrong"), "accuracy/random"] == pytest.approx(0.5)


def test_no_mask_effect_where_a_seed_with_wrong_masks_did_not_finish():
    runs = with_controls(0.2)
    runs.loc[(runs.masks == "wrong") & (runs.seed == 1), "status"] = "diverged"
    board = rank_mitigations(runs, "val_iid").set_index(["mitigation", "masks"])
    assert np.isnan(board.loc[("rrr", "true"), "mask_effect"])
    assert board.loc[("rrr", "true"), "note"] == ""


def test_two_trainings_are_two_sweeps_with_their_own_cost_mask_effect_and_regret():
    """With other numbers under another training, the rows of the first training stay as they are."""
    short = with_controls(0.2)
    long = with_controls(0.4).assign(training="epochs=100", sweep_key="d n long", seconds=40.0)
    both, alone = rank_mitigations(pd.concat([long, short]), "val_iid"), rank_mitigations(short, "val_iid")
    assert len(both) == 2 * len(alone)
    own = both[both["sweep_key"] == "d n"].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone)
    other = both[both["sweep_key"] == "d n long"].set_index(["mitigation", "masks"])
    assert other.loc[("rrr", "true"), "mask_effect"] == pytest.approx(0.45)
    assert other.loc[("rrr", "true"), "seconds_over_erm"] == 1.0


def by_class(*accuracies: float) -> dict[str, float]:
    return {f"class_accuracy/aligned/{k}": accuracy for k, accuracy in enumerate(accuracies)}


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ((1.0, 0.0), True),  # says one class
        ((0.5, 0.42), True),  # guesses: 0.46 in the mean
        ((0.55, 0.53), True),
        ((0.9, 0.3), False),
        ((0.7, 0.55), False),
        ((0.0, 0.0, 1.0), True),
        ((0.1,) * 10, True),
        ((0.18,) * 10, True),
        ((0.2,) * 10, False),
        ((0.0, 1.0, 1.0), False),  # misses a class altogether
        ((0.02,) * 5, True),  # worse than chance
        ((1.0,), False),  # a single class is no evidence
        ((), False),  # a record of protocol 1.0
    ],
)
def test_a_network_near_chance_is_untrained(accuracies, expected):
    assert untrained(pd.DataFrame([by_class(*accuracies)], index=[0])).tolist() == [expected]


def test_an_untrained_row_is_marked_and_stands_below_the_others_whatever_its_reliance():
    runs = records()
    is_rrr = runs.mitigation == "rrr"
    runs = runs.assign(**{name: np.where(is_rrr, 0.1, 0.9) for name in by_class(*[0] * 10)})
    runs.loc[is_rrr, "accuracy/random"] = 1.0
    runs.loc[is_rrr, "flip_rate"] = 0.0
    board = rank_mitigations(runs, "val_iid")
    assert board.mitigation.iloc[-1] == "rrr"
    assert dict(zip(board.mitigation, board.note == UNTRAINED, strict=True)) == {
        name: name == "rrr" for name in board.mitigation
    }


def test_one_untrained_seed_marks_the_row():
    runs = records(seeds=3)
    runs = runs.assign(**by_class(*[0.9] * 10))
    last = (runs.mitigation == "rrr") & (runs.seed == runs.seed.max())
    runs.loc[last, list(by_class(*[0] * 10))] = 0.1
    board = rank_mitigations(runs, "val_iid").set_index("mitigation")
    assert board.note["rrr"] == UNTRAINED
    assert board.note["erm"] != UNTRAINED
