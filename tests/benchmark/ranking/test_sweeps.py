"""Names of sweeps: settings that differ are in them, and no two sweeps of a table have one name."""

from __future__ import annotations

import pandas as pd
import pytest
from rrrbench.benchmark.ranking.sweeps import SWEEP, sweep_names, training_settings


def sweeps(*rows):
    """Sweeps `a`, `b`, … of one dataset and network with these trainings and protocols."""
    content = [(key, "d", "n", training, protocol) for key, (training, protocol) in zip("abcdef", rows, strict=False)]
    return pd.DataFrame(content, columns=SWEEP)


def differences(*rows):
    return {key: name.difference for key, name in sweep_names(sweeps(*rows)).items()}


def test_a_sweep_alone_needs_no_difference():
    assert differences(("epochs=2", "2.0")) == {"a": ""}
    assert str(sweep_names(sweeps(("epochs=2", "2.0")))["a"]) == "d, n"


def test_runs_of_one_sweep_are_one_name():
    assert differences(("", "2.0")) == {"a": ""}
    twice = pd.concat([sweeps(("epochs=2", "2.0"))] * 3)
    assert list(sweep_names(twice)) == ["a"]


def test_only_settings_that_differ_are_named_and_a_default_has_its_value():
    rows = [("epochs=10,optimizer=sgd", "2.0"), ("epochs=2,optimizer=sgd", "2.0"), ("optimizer=sgd", "2.0")]
    named = differences(*rows)
    assert named == {"b": "epochs=2", "a": "epochs=10", "c": "epochs=50"}
    assert list(named) == ["b", "a", "c"], "in the order of the numbers, not of the letters"


def test_two_settings_differ_at_once():
    named = differences(("epochs=30,learning_rate=0.01", "2.0"), ("epochs=30,learning_rate=0.025", "2.0"), ("", "2.0"))
    assert named["a"] == "epochs=30, learning_rate=0.01"
    assert named["c"] == "epochs=50, learning_rate=0.001"


def test_a_table_with_two_protocols_names_the_protocol_of_every_sweep():
    named = differences(("epochs=2", "1.0"), ("epochs=2", "2.0"), ("epochs=10", "2.0"))
    assert named == {"a": "epochs=2, protocol 1.0", "b": "epochs=2, protocol 2.0", "c": "epochs=10, protocol 2.0"}
    other = pd.concat([sweeps(("", "1.0")), sweeps(("", "2.0")).assign(dataset="other", sweep_key="z")])
    assert {name.difference for name in sweep_names(other).values()} == {"protocol 1.0", "protocol 2.0"}


def test_sweeps_that_differ_in_nothing_shown_have_the_digits_of_their_keys():
    rows = sweeps(("epochs=2", "2.0"), ("epochs=2", "2.0")).assign(sweep_key=["1" * 64, "2" * 64])
    assert [name.difference for name in sweep_names(rows).values()] == ["sweep 11111111", "sweep 22222222"]


def test_sweeps_of_other_datasets_or_networks_do_not_count():
    rows = pd.concat([sweeps(("epochs=2", "2.0")), sweeps(("", "2.0")).assign(network="m", sweep_key="z")])
    assert {name.difference for name in sweep_names(rows).values()} == {""}


@pytest.mark.parametrize("training", ["", "epochs=2", "gone=1,learning_rate=0.1"])
def test_settings_are_all_settings_of_a_training(training):
    settings = training_settings(training)
    assert {"epochs", "batch_size", "optimizer", "learning_rate"} <= settings.keys()
    assert settings["epochs"] == ("2" if "epochs" in training else "50")
