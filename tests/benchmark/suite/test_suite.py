from __future__ import annotations

import random
import re

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


def test_a_papers_strength_has_a_word():
    (stack,) = parsed(mitigations=[{"mitigation": "actdiff", "strengths": ["published", 0.1, 1.0]}]).stacks()
    assert stack.strengths == (0.1, 1.0)
    (alone,) = parsed(mitigations=[{"mitigation": "gain", "strengths": ["published"]}]).stacks()
    assert alone.strengths == (10.0,)
    in_units = {"mitigation": "actdiff", "strengths": ["published", 5.0], "units": {"pixel_range": [0, 255]}}
    assert parsed(mitigations=[in_units]).stacks()[0].strengths[-1] == 1.0
    with pytest.raises(ValueError, match="rrr: no published strength is known: give its strengths as numbers"):
        parsed(mitigations=[{"mitigation": "rrr", "strengths": ["published"]}])


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


ERM = [{"mitigation": "erm"}]
RRR = {"mitigation": "rrr", "strengths": [1.0]}
HUGE = 10**400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"epochs": True}}, r"training\.epochs: expected a number: write 1 \(got True\)"),
        ({"training": {"epochs": "3"}}, r"training\.epochs: expected a number: write 3 without quotes \(got '3'\)"),
        ({"training": {"epochs": 3.0}}, r"training\.epochs: expected a whole number: write 3 \(got 3\.0\)"),
        ({"training": {"epochs": HUGE}}, "training.epochs: expected a number below 2"),
        ({"training": {"batch_size": True}}, "training.batch_size"),
        ({"training": {"batch_size": "32"}}, "training.batch_size.*without quotes"),
        ({"training": {"learning_rate": float("inf")}}, r"training\.learning_rate: .*finite number \(got inf\)"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"training": {"learning_rate": "1e-3"}}, "training.learning_rate.*write 1e-3 without quotes"),
        ({"training": {"learning_rate": True}}, "training.learning_rate"),
        ({"training": {"learning_rate": HUGE}}, "training.learning_rate"),
        ({"training": {"weight_decay": -0.0}}, r"training\.weight_decay: minus zero.*write 0\.0 \(got -0\.0\)"),
        ({"training": {"momentum": -0.0}}, "training.momentum: minus zero"),
        ({"training": {"shuffle": 1}}, r"training\.shuffle: expected true or false \(got 1\)"),
        ({"training": {"shuffle": "yes"}}, r"training\.shuffle: expected true or false \(got 'yes'\)"),
        ({"training": {"shuffle": 0.0}}, "training.shuffle: expected true or false"),
        ({"training": 3}, "training"),
        ({"training": {"optimizer": 3}}, "training.optimizer"),
        ({"mitigations": [{**RRR, "strengths": [-0.0]}]}, r"strengths\.0: minus zero"),
        ({"mitigations": [{**RRR, "strengths": ["3"]}]}, r"strengths\.0.*'3'"),
        ({"mitigations": [{**RRR, "strengths": [True]}]}, r"strengths\.0: expected a number: write 1"),
        ({"mitigations": [{**RRR, "strengths": [1.0, float("inf")]}]}, r"strengths\.1"),
        ({"mitigations": [{**RRR, "strengths": [1e39]}]}, r"strengths\.0.* to 3\.40282e\+38, which float32 can hold"),
        ({"mitigations": [{**RRR, "strengths": [1e-46]}]}, r"strengths\.0.*expected 0 or a number of 1\.17549e-38"),
        ({"mitigations": [{**RRR, "strengths": [HUGE]}]}, r"strengths\.0"),
        ({"mitigations": [{**RRR, "strengths": 1.0}]}, "strengths"),
        ({"mitigations": [{**RRR, "strengths": [[1.0]]}]}, "strengths"),
        ({"mitigations": [{"mitigation": 5}]}, "mitigation = 5 is neither a name nor a table"),
        ({"mitigations": [{"mitigation": True}]}, "mitigation = True is neither"),
        ({"mitigations": [{"mitigation": ["rrr"]}]}, "mitigation = .'rrr'. is neither"),
        ({"mitigations": [{"mitigation": {"name": ["rrr"]}}]}, "name = .'rrr'. is no text"),
        ({"mitigations": [{"mitigation": {"name": 5}}]}, "name = 5 is no text"),
        ({"mitigations": [{"mitigation": {}}]}, "there is no name"),
        ({"mitigations": [{"mitigation": {"name": "rrr_gradcam", "constant_weights": 1}, "strengths": [1.0]}]},
         "constant_weights = 1: expected true or false"),
        ({"mitigations": [{"mitigation": {"name": "r4", "epsilon": "0.5"}, "strengths": [1.0]}]},
         "epsilon = '0.5': expected a number"),
        ({"mitigations": [{"mitigation": {"name": "dfr", "refits": True}}]}, "refits = True"),
        ({"mitigations": [{"mitigation": {"name": "afr", "anchor": -0.0}}]}, "anchor = -0.0: minus zero"),
        ({"mitigations": [{**RRR, "units": {"pixel_range": [0.0, float("inf")]}}]}, r"units\.pixel_range\.1.*finite"),
        ({"mitigations": [{**RRR, "units": {"pixel_range": [1, 1]}}]}, r"units\.pixel_range: \(1, 1\) is empty"),
        ({"mitigations": [{**RRR, "units": {"pixel_range": [255, 0]}}]}, r"units\.pixel_range: \(255, 0\) is empty"),
        ({"mitigations": [{**RRR, "units": {"pixel_range": [0, "255"]}}]}, "units.pixel_range.1.*without quotes"),
        ({"mitigations": [{**RRR, "units": {"entries": HUGE}}]}, "units.entries: expected a number below 2"),
        ({"mitigations": [{**RRR, "units": {"entries": True}}]}, "units.entries"),
        ({"mitigations": {"mitigation": "erm"}}, "mitigations"),
        ({"dataset": 3}, "dataset = 3 is neither a name nor a table"),
        ({"dataset": []}, r"dataset = \[\] is neither a name nor a table"),
        ({"dataset": [3]}, "dataset = 3 is neither"),
        ({"dataset": [["decoy"]]}, r"dataset = \['decoy'\] is neither"),
        ({"dataset": {"base": "digits"}}, "there is no name: known names are .*decoy"),
        ({"dataset": {"name": "decoy", "correlation": True}}, "correlation = True: expected a number: write 1"),
        ({"dataset": {"name": "decoy", "correlation": "1"}}, "correlation = '1'"),
        ({"dataset": {"name": "decoy", "correlation": -0.0}}, "correlation = -0.0: minus zero"),
        ({"dataset": {"name": "decoy", "validation": 100.0}}, "validation = 100.0: expected a whole number: write 100"),
        ({"dataset": {"name": "decoy", "annotated": "25"}}, "annotated = '25'"),
        ({"network": 3}, "network = 3 is neither"),
        ({"network": {"name": "mlp", "hidden": []}}, "hidden = .*at least 1 item"),
        ({"network": {"name": "mlp", "hidden": [0]}}, r"hidden\.0 = 0: .*greater than or equal to 1"),
        ({"network": {"name": "mlp", "hidden": [50, -1]}}, r"hidden\.1 = -1"),
        ({"network": {"name": "mlp", "hidden": [True]}}, r"hidden\.0 = True"),
        ({"network": {"name": "mlp", "hidden": ["8"]}}, r"hidden\.0 = '8'.*without quotes"),
        ({"network": {"name": "mlp", "hidden": [8.0]}}, r"hidden\.0 = 8\.0: expected a whole number"),
        ({"network": {"name": "mlp", "hidden": 8}}, "hidden = 8"),
        ({"network": {"name": "mlp", "hidden": [HUGE]}}, "hidden.0 = .*below 2"),
        ({"network": {"name": "resnet18", "groups": 0}}, "groups = 0"),
        ({"network": {"name": "resnet18", "groups": 5}}, "groups = 5"),
        ({"network": {"name": "resnet18", "groups": True}}, "groups = True"),
        ({"network": {"name": "mlp", "pixel_range": [0.0, float("inf")]}}, "pixel_range.*inf.*finite"),
        ({"network": {"name": "mlp", "pixel_range": [1.0, 0.0]}}, r"pixel_range.*\(1, 0\) is empty"),
        ({"network": {"name": "mlp", "pixel_range": [True, 2]}}, "pixel_range.*True"),
        ({"trials": 100_000_000_000}, "trials.*less than or equal to 100000"),
        ({"trials": True}, "trials: expected a number"),
        ({"trials": 0}, "trials.*greater than or equal to 1"),
        ({"controls": ["25"]}, "controls.0.*'25'"),
        ({"controls": [True]}, "controls.0.*True"),
        ({"controls": [2.0]}, "controls.0.*2.0"),
        ({"label": 3}, "label"),
    ],
)  # fmt: skip
def test_a_value_is_what_was_written_or_refused_with_its_field(changes, message):
    with pytest.raises(BadSuite, match=message) as error:
        parsed(**changes)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [True]}, "seeds.0: expected a number: write 1"),
        ({"seeds": ["0"]}, "seeds.0.*write 0 without quotes"),
        ({"seeds": [0, 1.0]}, "seeds.1: expected a whole number: write 1"),
        ({"seeds": [-1]}, "seeds.0"),
        ({"seeds": [2**63]}, "seeds.0: expected a number below 2"),
        ({"seeds": []}, "seeds"),
        ({"seeds": 3}, "seeds"),
        ({"save_models": 1}, "save_models: expected true or false"),
        ({"save_models": "true"}, "save_models: expected true or false"),
        ({"name": ["rrr"]}, "name"),
        ({"name": 3}, "name"),
        ({"explainers": [5]}, "explainer = 5 is neither"),
        ({"explainers": [{"name": "smooth_gradient", "noise": float("inf")}]}, "noise = inf: expected a finite number"),
        ({"explainers": [{"name": "smooth_gradient", "n_samples": True}]}, "n_samples = True"),
        ({"sweeps": 3}, "sweeps"),
        ({"sweeps": [3]}, "sweeps.0"),
    ],
)
def test_a_suites_own_values_are_what_was_written(changes, message):
    with pytest.raises(BadSuite, match=message):
        parse_suite({**content(), **changes}, "own.toml")


def rows_of(strengths):
    return {"sweeps": [{**content()["sweeps"][0], "mitigations": [{"mitigation": "rrr", "strengths": strengths}]}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *((rows_of([given]), rf".*strengths.0: expected a finite number .*\"auto:1\".* \(got {said}\)")
          for given, said in ((float("inf"), "inf"), (-1, "-1"), ("auto", "'auto'"))),
        (rows_of("auto"), r".*strengths: expected a list, e.g. strengths = \[0.1, 1.0\] \(got 'auto'\)"),
        ({"seeds": 0}, r"seeds: expected a list, e.g. seeds = \[0, 1, 2\] \(got 0\)"),
        ({"sweeps": []}, r"a suite needs \[\[sweeps\]\].*"),
        ({"sweeps": [{**content()["sweeps"][0], "controls": ["halve"]}]}, r".*controls.0: expected 'true',.*'halve'."),
    ],
)  # fmt: skip
def test_a_mistake_is_a_single_line_with_the_way_out(changes, message):
    with pytest.raises(BadSuite) as error:
        parse_suite({**content(), **changes}, "own.toml")
    assert re.fullmatch(f"own.toml: {message}", str(error.value))


def test_whole_numbers_are_numbers_and_lists_are_lists():
    suite = parsed(training={"learning_rate": 1, "epochs": 2}, mitigations=[{"mitigation": "rrr", "strengths": [1, 0]}])
    assert suite.stacks()[0].strengths == (0.0, 1.0)
    assert suite.sweeps[0].training.learning_rate == 1.0


@pytest.mark.parametrize(
    "text", [b"\xff\xfe", b"a = " + b"9" * 5000, b"seeds = " + b"[" * 5000, b"", b"[[sweeps]]\n[[sweeps]]", b"\0"]
)
def test_files_that_do_not_read_as_suites_are_named(tmp_path, text):
    (tmp_path / "own.toml").write_bytes(text)
    with pytest.raises(BadSuite, match=r"own\.toml: "):
        load_suite(str(tmp_path / "own.toml"))


def test_a_suite_may_begin_with_a_byte_order_mark_and_has_to_be_utf_8(tmp_path):
    own, text = tmp_path / "own.toml", 'description = "Käfer"\nseeds = []'
    own.write_text(text, encoding="utf-8-sig")
    with pytest.raises(BadSuite, match="seeds"):
        load_suite(str(own))
    own.write_text(text, encoding="latin-1")
    with pytest.raises(BadSuite, match=r"not UTF-8.*save it in UTF-8"):
        load_suite(str(own))


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
