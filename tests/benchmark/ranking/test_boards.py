"""Every suite in the tree has a board that prints, from runs with made-up numbers."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import get_args

import pandas as pd
import pytest
from made_up_rows import made_up_rows
from rrrbench.benchmark import suites
from rrrbench.benchmark.ranking.boards import board_of
from rrrbench.benchmark.ranking.leaderboard import rank_mitigations
from rrrbench.benchmark.ranking.rendering import Format
from rrrbench.benchmark.ranking.selection import RULES
from rrrbench.benchmark.suite.loading import load_suite

OF_EVERY_KIND = {"mitigations-quick", "explainers", "counterfactuals", "reproduce/friedrich2023", "smoke"}
"""Suites that are tried at every change."""


def each(names):
    """The suites, those that resemble another one marked slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name not in OF_EVERY_KIND)) for name in names]


SEVERAL_TRAININGS = ["reproduce/friedrich2023", "reproduce/ghitu2025"]


@pytest.mark.long
@pytest.mark.parametrize("name", each(suites.names()))
def test_the_board_of_a_suite_prints_in_every_format(name):
    suite = load_suite(name).with_seeds(2)
    render = board_of(suite, made_up_rows(suite), "knee")
    for form in get_args(Format):
        text = render(form)
        assert all(str(stack.names["dataset"]) in text for stack in suite.stacks())
    assert "protocol 2.0" in render("table")


@pytest.mark.long
@pytest.mark.parametrize("name", each(name for name in suites.names() if load_suite(name).sweeps))
@pytest.mark.parametrize(
    "rule", ["knee", *(pytest.param(rule, marks=pytest.mark.slow) for rule in RULES if rule != "knee")]
)
def test_every_mitigation_of_every_sweep_is_a_row(name, rule):
    suite = load_suite(name).with_seeds(1)
    board = rank_mitigations(made_up_rows(suite), rule)
    rows = set(zip(board["sweep_key"], board["mitigation"], board["masks"], strict=True))
    assert rows == {(stack.sweep_key, stack.label, stack.names["masks"]) for stack in suite.stacks()}
    assert len(board) == len(rows)


def test_two_learning_rates_are_two_rows_with_their_own_runs():
    suite = load_suite("reproduce/ghitu2025")
    runs = made_up_rows(suite)
    l2 = runs[(runs["mitigation"] == "l2[biases=False]") & (runs["strength"] == 1e-3)]
    assert l2["sweep_key"].nunique() == 2, "1e-3 under two learning rates"
    board = rank_mitigations(runs, "knee").set_index(["sweep_key", "mitigation"])
    for key, own in l2.groupby("sweep_key"):
        if (chosen := board.loc[(key, "l2[biases=False]")])["strength"] == 1e-3:
            assert chosen["accuracy/random"] == pytest.approx(own["accuracy/random"].mean())
    text = board_of(suite, runs, "knee")("md")
    for learning_rate in (0.001, 0.002, 0.01, 0.025, 0.075):
        assert f"learning_rate={learning_rate}" in text


@pytest.mark.long
def test_2_10_and_50_epochs_are_rows_in_this_order():
    suite = load_suite("reproduce/friedrich2023")
    lines = board_of(suite, made_up_rows(suite), "knee")("md").splitlines()
    (first, second) = [i for i, line in enumerate(lines) if line.startswith("### ")]
    for block in (lines[first:second], lines[second:]):
        epochs = [
            cell.strip() for line in block if line.startswith("|") for cell in line.split("|") if "epochs=" in cell
        ]
        assert set(epochs) == {"epochs=2", "epochs=10", "epochs=50"}
        assert all(int(a.removeprefix("epochs=")) <= int(b.removeprefix("epochs=")) for a, b in pairwise(epochs))


@pytest.mark.long
@pytest.mark.parametrize("name", SEVERAL_TRAININGS)
def test_the_csv_has_training_and_key_of_every_row(name):
    suite = load_suite(name)
    board = pd.read_csv(io.StringIO(board_of(suite, made_up_rows(suite), "knee")("csv")), keep_default_na=False)
    expected = {(stack.sweep_key, stack.training.id) for stack in suite.stacks()}
    assert set(zip(board["sweep_key"], board["training"], strict=True)) == expected


def test_two_protocols_are_never_mixed():
    suite = load_suite("smoke")
    runs = made_up_rows(suite)
    old = runs.assign(protocol="1.0", sweep_key="old" + runs["sweep_key"], run_key="old" + runs["run_key"])
    old["accuracy/random"] = 0.125
    both = pd.concat([runs, old])
    board = rank_mitigations(both, "knee")
    assert (board.loc[board["protocol"] == "1.0", "accuracy/random"] == 0.125).all()
    pd.testing.assert_frame_equal(
        board[board["protocol"] == "2.0"].reset_index(drop=True), rank_mitigations(runs, "knee"), check_dtype=False
    )
    text = board_of(suite, both, "knee")("md")
    assert "protocols 1.0 and 2.0" in text
    assert "| protocol 1.0 " in text
