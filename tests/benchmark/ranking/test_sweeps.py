"""Sweeps are told apart by their keys, and named by what differs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rrrbench.benchmark import suites
from rrrbench.benchmark.ranking.boards import board_of
from rrrbench.benchmark.ranking.leaderboard import rank_mitigations
from rrrbench.benchmark.ranking.rendering import render_mitigations
from rrrbench.benchmark.ranking.sweeps import sweep_names
from rrrbench.benchmark.store.frames import flat
from rrrbench.benchmark.store.record import Record
from rrrbench.benchmark.suite.loading import load_suite

METRICS = ("accuracy/validation", "accuracy/random", "flip_rate", "seconds", "mass_abs/gradcam", "auroc")


def made_up(suite) -> pd.DataFrame:
    """Flat rows of every run of a suite, whose numbers are drawn by the run's key."""
    records = []
    for stack in suite.stacks():
        for key, (strength, seed) in stack.places().items():
            rng = np.random.default_rng(int(key[:8], 16))
            metrics = dict(zip(METRICS, rng.uniform(size=len(METRICS)).tolist(), strict=True))
            records.append(Record.for_run(stack, strength, seed, "finished", metrics=metrics))
    return flat(list({record.run_key: record for record in records}.values()))


@pytest.mark.parametrize("name", [name for name in suites.names() if load_suite(name).sweeps])
def test_every_suite_has_a_board(name):
    suite = load_suite(name)
    runs = made_up(suite)
    board = board_of(suite, runs, "knee")
    assert all(board(form) for form in ("table", "csv", "tex"))
    assert suite.explainers or all(str(name) in board("md") for name in runs["mitigation"].unique())
    names = sweep_names(runs)
    assert len(set(names.values())) == len(names) == runs["sweep_key"].nunique()


@pytest.mark.parametrize(
    ("suite", "differences"),
    [("reproduce/friedrich2023", {"epochs=2", "epochs=10", "epochs=50"}), ("reproduce/ghitu2025", {"learning_rate="})],
)
def test_two_trainings_of_one_dataset_and_network_are_two_rows_that_say_what_differs(suite, differences):
    runs = made_up(load_suite(suite))
    alike = runs.groupby(["dataset", "network"])["sweep_key"].nunique()
    assert alike.max() > 1
    board = rank_mitigations(runs, "knee")
    assert not board.duplicated(["sweep_key", "mitigation", "masks"]).any()
    assert len(board) == len(runs.drop_duplicates(["sweep_key", "mitigation", "masks"]))
    named = {part for name in sweep_names(runs).values() for part in name.difference.split(", ")}
    assert named
    assert any(part.startswith(tuple(differences)) for part in named)
    assert all(difference in render_mitigations(board, "md") for difference in named - {""})


def rows(**sweeps) -> pd.DataFrame:
    return pd.DataFrame(
        [{"sweep_key": key, "dataset": "d", "network": "n", "training": "", "protocol": "2.0", **changes}
         for key, changes in sweeps.items()]
    )  # fmt: skip


def differences(**sweeps) -> dict[str, str]:
    return {key: name.difference for key, name in sweep_names(rows(**sweeps)).items()}


def test_a_default_is_named_beside_a_setting_that_differs_from_it():
    assert differences(a={}, b={"training": "epochs=2"}) == {"b": "epochs=2", "a": "epochs=50"}


def test_what_is_the_same_in_all_is_not_named():
    assert differences(a={"training": "epochs=2"}, b={"training": "epochs=2", "network": "m"}) == {"a": "", "b": ""}
    alike = {"a": {"training": "batch_size=64,epochs=2"}, "b": {"training": "batch_size=64,epochs=10"}}
    assert differences(**alike) == {"a": "epochs=2", "b": "epochs=10"}


def test_two_protocols_are_told_apart():
    assert differences(a={"protocol": "1.0"}, b={}) == {"a": "protocol 1.0", "b": "protocol 2.0"}


def test_sweeps_that_differ_in_nothing_shown_have_their_keys():
    assert differences(aaaaaaaaaa={}, bbbbbbbbbb={}) == {"aaaaaaaaaa": "sweep aaaaaaaa", "bbbbbbbbbb": "sweep bbbbbbbb"}
