"""Published files are whole, and each number is joined to the runs that measure it."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from rrrbench.benchmark.ranking.join import join_runs, stack_of, sweeps_left
from rrrbench.benchmark.ranking.published import Published, papers, published_by, suite_of
from rrrbench.benchmark.report.reproduction import render_reproduction, verdicts_in_words
from tiny import tiny_suite

ROW = {"paper": "own", "source": "table 1", "dataset": "decoy", "network": "mlp", "method": "RRR", "condition": "",
       "metric": "accuracy/random", "value": "0.9", "spread": "", "seeds": "1", "provenance": "read", "note": "",
       "sweep": "main", "mitigation": "rrr", "strength": "0.1", "masks": "true"}  # fmt: skip
SUITE = tiny_suite(label="main", controls=["wrong"])


def row(**changes):
    return Published.model_validate({**ROW, **changes})


def records(stack, values, **changes):
    keys = list(stack.places())
    return pd.DataFrame(
        {"run_key": keys, "status": "finished", "strength": [stack.places()[key][0] for key in keys],
         "seed": [stack.places()[key][1] for key in keys], "accuracy/random": values, "seconds": 30.0, **changes}
    )  # fmt: skip


@pytest.mark.parametrize("paper", papers())
def test_published_numbers_are_whole(paper):
    rows = published_by(paper)
    assert rows
    assert all(row.paper == paper and row.source and row.dataset and row.method for row in rows)
    assert {row.masks for row in rows if not row.sweep} <= {"true"}
    what = Counter(row.model_dump_json(include={"source", "dataset", "network", "method", "condition", "metric"})
                   for row in rows)  # fmt: skip
    assert [key for key, times in what.items() if times > 1] == []


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


def test_every_paper_of_the_issue_is_there():
    assert papers() == ["friedrich2023", "ghitu2025", "heo2023", "rieger2020", "ross2017"]
    assert {one.provenance for one in published_by("heo2023")} == {"recalled"}
    assert len({(one.sweep, one.strength) for one in published_by("ross2017") if one.sweep == "Decoy-MNIST, 56k"}) == 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": "96.07"}, "in percent"),
        ({"value": ""}, "only a figure"),
        ({"provenance": "rumour"}, "provenance"),
        ({"strength": "best"}, "best"),
        ({"metric": "accuracy/randm"}, "accuracy/randm"),
        ({"seeds": "some"}, "seeds"),
    ],
)
def test_a_row_that_is_wrong_is_an_error(changes, message):
    with pytest.raises((ValueError, LookupError), match=message):
        row(**changes)


def test_a_paper_without_numbers_is_an_error():
    with pytest.raises(LookupError, match="did you mean ross2017"):
        published_by("ros2017")


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


def test_recalled_numbers_are_shown_dim_and_without_a_verdict():
    one = row(provenance="recalled")
    table = join_runs([one], SUITE, records(stack_of(one, SUITE), [0.9, 0.9]))
    assert table.iloc[0]["verdict"] == "recalled"
    text = render_reproduction(table, dim=lambda cell: f"<{cell}>")
    assert "<0.900 (1)>" in text
    assert verdicts_in_words(table) == "1 recalled"


def test_what_only_a_wide_interval_reproduces_is_counted():
    stack = stack_of(row(), SUITE)
    near, far = (join_runs([row(value=value)], SUITE, records(stack, [0.7, 0.9])) for value in (0.805, 0.5))
    table = pd.concat([near, far]).assign(verdict="reproduced")
    assert verdicts_in_words(table) == "2 reproduced (1 of them by the interval alone)"
    assert verdicts_in_words(near) == "1 reproduced"


def test_what_is_left_is_named():
    stack = stack_of(row(), SUITE)
    assert sweeps_left(SUITE, records(stack, [0.9, 0.9])) == ["main"]
    everything = pd.DataFrame({"run_key": SUITE.keys()})
    assert sweeps_left(SUITE, everything) == []


def test_fewer_seeds_are_the_first_ones():
    few = suite_of("ross2017", 2)
    assert {stack.seeds for stack in few.stacks()} == {(0, 1)}
    assert set(few.keys()) < set(suite_of("ross2017").keys())
