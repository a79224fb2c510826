"""Each published number is joined to the runs that measure it."""

from __future__ import annotations

import pandas as pd
import pytest
from reproduced import SUITE, records, row
from rrrbench.benchmark.ranking.join import join_runs, stack_of, sweeps_left
from rrrbench.benchmark.ranking.published import papers, published_by, suite_of


@pytest.mark.parametrize("paper", papers())
def test_every_number_that_names_a_sweep_has_its_runs(paper):
    suite = suite_of(paper)
    keys = set(suite.keys())
    for one in published_by(paper):
        stack = stack_of(one, suite)
        assert (stack is None) == (one.sweep == "")
        if stack is not None and not isinstance(one.strength, str):
            assert len(stack.strengths) == 1
            assert set(stack.places()) <= keys


def test_strengths_are_those_of_the_suite_before_conversion():
    suite = suite_of("ross2017")
    stack = stack_of(row(sweep="Decoy-MNIST, 56k", strength="1e3"), suite)
    assert stack.strengths == (1000 / 255**2,)
    assert stack.seeds == (0, 1, 2, 3, 4)
    assert len(stack_of(row(sweep="Iris-Cancer", mitigation="erm", strength=""), suite).seeds) == 350


@pytest.mark.parametrize("changes", [{"sweep": "mian"}, {"strength": "0.2"}, {"masks": "half"}, {"mitigation": "r4"}])
def test_a_row_that_no_run_measures_is_an_error(changes):
    with pytest.raises(ValueError, match="has no run of"):
        stack_of(row(**changes), SUITE)


def test_join_takes_the_mean_over_seeds_and_counts_in_points():
    one = row()
    table = join_runs([one], SUITE, records(stack_of(one, SUITE), [0.91, 0.93]))
    found = table.iloc[0]
    assert (found["measured"], found["n"]) == (pytest.approx(0.92), 2)
    assert found["sd"] == pytest.approx(0.02 / 2**0.5)
    assert found["delta"] == pytest.approx(2.0)
    assert found["minutes"] == pytest.approx(1.0)
    assert found["verdict"] == "close"  # of two seeds, so the interval, 0.44 wide, does not count


def test_the_prediction_interval_is_cut_at_the_metrics_range():
    found = join_runs([row()], SUITE, records(stack_of(row(), SUITE), [0.91, 0.93])).iloc[0]
    assert (found["low"] < 0.91, found["high"]) == (True, 1)


def test_masks_tell_runs_apart():
    true, wrong = row(), row(masks="wrong")
    assert not set(stack_of(true, SUITE).places()) & set(stack_of(wrong, SUITE).places())
    table = join_runs([true, wrong], SUITE, records(stack_of(wrong, SUITE), [0.5, 0.5]))
    assert list(table["verdict"]) == ["not run", "not reproduced"]


def test_a_rule_chooses_among_the_strengths():
    one = row(strength="val_iid")
    stack = stack_of(one, SUITE)
    by_strength = {0.1: 0.7, 1.0: 0.9}
    values = [by_strength[strength] for strength, _ in stack.places().values()]
    rows = records(stack, values, **{"accuracy/validation": values})
    assert join_runs([one], SUITE, rows).iloc[0]["measured"] == pytest.approx(0.9)
    assert join_runs([one], SUITE, rows.assign(status="failed")).iloc[0]["verdict"] == "not run"
    assert (
        join_runs([one], SUITE, rows[rows["strength"] == 1.0]).iloc[0]["verdict"] == "not run"
    )  # nothing to choose from


def test_the_worst_class_of_the_means_is_one_class_in_every_run():
    one = row(metric="class_accuracy/random/worst")
    classes = {"class_accuracy/random/0": [0.9, 0.3], "class_accuracy/random/1": [0.5, 0.8],
               "class_accuracy/clean/0": [0.1, 0.1]}  # fmt: skip
    found = join_runs([one], SUITE, records(stack_of(one, SUITE), [0.9, 0.9], **classes)).iloc[0]
    assert (found["measured"], found["n"]) == (pytest.approx(0.6), 2)  # the mean of each run's worst is 0.4
    assert join_runs([one], SUITE, records(stack_of(one, SUITE), [0.9, 0.9])).iloc[0]["verdict"] == "not run"


def test_a_run_that_diverged_counts_and_one_that_failed_does_not():
    one = row()
    rows = records(stack_of(one, SUITE), [0.9, 0.1], status=["diverged", "failed"])
    found = join_runs([one], SUITE, rows).iloc[0]
    assert (found["n"], found["measured"]) == (1, 0.9)


def test_what_is_left_is_named():
    stack = stack_of(row(), SUITE)
    assert sweeps_left(SUITE, records(stack, [0.9, 0.9])) == ["main"]
    everything = pd.DataFrame({"run_key": SUITE.keys()})
    assert sweeps_left(SUITE, everything) == []
