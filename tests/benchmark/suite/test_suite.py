from __future__ import annotations

import random

import pytest
from rrrbench.benchmark import suites
from rrrbench.benchmark.suite.loading import BadSuite, load_suite, parse_suite
from rrrbench.benchmark.suite.protocol import PROTOCOL_VERSION
from rrrbench.datasets.registry import BadParameters, UnknownName
from rrrbench.methods.base import mitigations


def content(**changes):
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": {"name": "mlp"},
        "training": {"epochs": 2, "batch_size": 32},
        "mitigations": [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1, 1.0]}],
    }
    return {"name": "own", "seeds": [0, 1], "sweeps": [{**sweep, **changes}]}


def parsed(**changes):
    return parse_suite(content(**changes), "own.toml")


@pytest.mark.parametrize("name", suites.names())
def test_every_suite_that_comes_along_is_valid(name):
    suite = load_suite(name)
    assert suite.description
    assert len(suite.keys()) == len(set(suite.keys())) <= sum(len(stack) for stack in suite.stacks())


def test_controls_are_added_for_what_uses_masks():
    suite, plain = parsed(controls=["wrong", 25]), parsed()
    assert [(stack.label, stack.dataset.annotation) for stack in suite.stacks()] == [
        ("erm", "true"), ("rrr", "true"), ("rrr", "wrong"), ("rrr", "on 25 inputs"),
    ]  # fmt: skip
    assert set(plain.keys()) < set(suite.keys())
    assert len(suite.keys()) == len(plain.keys()) + 2 * 4
    assert len({stack.sweep_key for stack in suite.stacks()}) == 1


def test_a_sweep_on_several_datasets_is_one_on_each():
    data = [{"name": "decoy", "base": "digits"}, {"name": "decoy", "base": "digits", "correlation": 0.9}]
    both = parsed(dataset=data)
    assert both.keys() == [*parsed(dataset=data[0]).keys(), *parsed(dataset=data[1]).keys()]


@pytest.mark.parametrize("control", ["wrogn", -1])
def test_a_control_that_does_not_exist_is_named(control):
    with pytest.raises(BadSuite, match=f"controls.*{control}"):
        parsed(controls=[control])


def test_automatic_strengths_are_stacks_of_their_own():
    suite = parsed(mitigations=[{"mitigation": "rrr", "strengths": ["auto:1", 0.1, "auto:0.01", "auto:1.0"]}])
    plain, auto = suite.stacks()
    assert (plain.label, plain.strengths, plain.auto) == ("rrr", (0.1,), False)
    assert (auto.label, auto.strengths, auto.auto) == ("rrr:auto", (0.01, 1.0), True)
    assert auto.configuration(1.0, 0)["strength"] == "auto:1.0"
    assert auto.key(1.0, 0) != plain.key(1.0, 0)


@pytest.mark.parametrize("strength", ["auto", "auto:", "auto:x", "auto:-1", -1.0])
def test_a_strength_that_is_none_is_named(strength):
    with pytest.raises(BadSuite, match="strengths"):
        parsed(mitigations=[{"mitigation": "rrr", "strengths": [strength]}])


def test_every_mitigation_is_compared():
    suite = load_suite("mitigations-quick")
    for sweep in suite.sweeps:
        assert {row.mitigation.name for row in sweep.mitigations} == set(mitigations.names())
        assert {len(row.strengths) for row in sweep.mitigations} == {0, 5}


def test_order_never_changes_a_key():
    suite, shuffled = parsed(), content()
    shuffled["seeds"].reverse()
    shuffled["sweeps"][0]["mitigations"].reverse()
    shuffled["sweeps"][0]["mitigations"][0]["strengths"].reverse()
    items = list(shuffled["sweeps"][0].items())
    random.Random(0).shuffle(items)
    shuffled["sweeps"][0] = dict(items)
    assert set(parse_suite(shuffled, "").keys()) == set(suite.keys())


def test_a_spelled_out_default_is_the_same_run():
    assert parsed(network={"name": "mlp", "hidden": [50, 30]}).keys() == parsed().keys()
    assert parsed(network="mlp").keys() == parsed().keys()


@pytest.mark.parametrize(
    "change",
    [
        {"network": {"name": "mlp", "hidden": [50]}},
        {"dataset": {"name": "decoy", "base": "digits", "correlation": 0.9}},
        {"training": {"epochs": 3, "batch_size": 32}},
    ],
)
def test_whatever_decides_numbers_changes_every_key(change):
    assert not set(parsed(**change).keys()) & set(parsed().keys())


def test_the_recipes_version_is_in_the_key(monkeypatch):
    before = parsed().keys()
    monkeypatch.setattr(type(parsed().sweeps[0].dataset), "version", 99)
    assert not set(parsed().keys()) & set(before)


def test_published_units_are_converted():
    rows = [{"mitigation": "rrr", "strengths": [1000], "units": {"pixel_range": [0, 255]}}]
    assert parsed(mitigations=rows).stacks()[0].strengths == (1000 / 65025,)


def test_missing_runs_are_stacks_of_the_same_strengths():
    (stack,) = [s for s in parsed().stacks() if s.mitigation.name == "rrr"]
    assert list(stack.without(set())) == [stack]
    assert list(stack.without(set(stack.places()))) == []
    (part,) = stack.without({stack.key(0.1, 0), stack.key(1.0, 0)})
    assert (part.strengths, part.seeds) == ((0.1, 1.0), (1,))
    ragged = list(stack.without({stack.key(0.1, 0)}))
    assert sorted((part.strengths, part.seeds) for part in ragged) == [((0.1, 1.0), (1,)), ((1.0,), (0,))]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"training": {"epoch": 3}}, BadSuite, "training.epoch is not a key; did you mean epochs"),
        ({"training": {"epochs": "many"}}, BadSuite, "training.epochs.*'many'"),
        ({"training": {"epochs": 0}}, BadSuite, "greater than or equal to 1"),
        ({"dataset": {"name": "decoyy"}}, UnknownName, "no dataset is called 'decoyy'; did you mean decoy"),
        ({"dataset": {"name": "decoy", "correlaton": 1}}, BadSuite, "did you mean correlation"),
        ({"network": "lenett"}, UnknownName, "did you mean lenet"),
        ({"mitigations": [{"mitigation": "rr", "strengths": [1]}]}, UnknownName, "did you mean rrr"),
        ({"mitigations": [{"mitigation": "rrr", "strengths": [-1]}]}, BadSuite, "greater than or equal to 0"),
        ({"mitigations": [{"mitigation": "rrr", "strengths": [float("nan")]}]}, BadSuite, "strengths.0"),
        ({"mitigations": [{"mitigation": "rrr"}]}, BadSuite, "rrr needs strengths"),
        ({"mitigations": [{"mitigation": "erm", "strengths": [1]}]}, BadSuite, "erm has no strength"),
        ({"mitigations": []}, BadSuite, "mitigations"),
    ],
)
def test_what_cannot_be_run_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        parsed(**changes)


def test_files_that_are_not_suites(tmp_path):
    with pytest.raises(UnknownName, match="did you mean bench"):
        load_suite("benhc")
    with pytest.raises(UnknownName, match="no suite"):
        load_suite(str(tmp_path / "none.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("seeds = [0,")
    with pytest.raises(BadSuite, match="not TOML"):
        load_suite(str(broken))


def test_bad_parameters_are_a_value_error():
    assert issubclass(BadParameters, ValueError)


def test_the_rules_state_the_protocol_that_runs():
    from pathlib import Path

    rules = Path(suites.__file__).parents[2] / "RULES.md"
    assert rules.read_text().startswith(f"# The rules, protocol {PROTOCOL_VERSION}\n")
