"""Sweeps of counterfactual explainers: as stacks, with keys."""

import pytest
from rrrbench.benchmark.suite.loading import BadSuite, load_suite, parse_suite
from rrrbench.datasets.registry import UnknownName


def content(**changes):
    sweep = {"network": "lenet", "training": {"epochs": 1}, "explainers": ["dummy", {"name": "dive", "lr": 0.2}]}
    return {"name": "own", "seeds": [0, 1], "counterfactuals": [{**sweep, **changes}]}


def parsed(**changes):
    return parse_suite(content(**changes), "own.toml")


def test_a_sweep_is_a_stack_for_each_explainer():
    stacks = parsed().stacks()
    assert [stack.label for stack in stacks] == ["dummy", "dive[lr=0.2]"]
    assert {(stack.strengths, stack.seeds, stack.epochs) for stack in stacks} == {((0.0,), (0, 1), 2)}
    assert len({stack.sweep_key for stack in stacks}) == 1
    assert len(parsed().keys()) == 4
    assert stacks[0].with_passed() == [stacks[0]]


def test_a_sweep_on_several_datasets_is_one_on_each():
    data = [{}, {"correlation": 0.5, "breadth": 6}]
    both = parsed(dataset=data)
    assert both.keys() == [*parsed(dataset=data[0]).keys(), *parsed(dataset=data[1]).keys()]
    assert both.stacks()[-1].names["dataset"] == "glyphs[breadth=6,correlation=0.5]"
    assert len({stack.sweep_key for stack in both.stacks()}) == 2


@pytest.mark.parametrize(
    "change",
    [
        *({"dataset": {name: value}} for name, value in (("inputs", 7), ("breadth", 6), ("correlation", 0.5))),
        *({"network": "mlp"}, {"training": {"epochs": 2}}, {"batch_size": 5}),
    ],
)
def test_whatever_decides_numbers_changes_every_key(change):
    assert not set(parsed(**change).keys()) & set(parsed().keys())
    assert parsed(**change).stacks()[0].sweep_key != parsed().stacks()[0].sweep_key


def test_a_spelled_out_default_is_the_same_run():
    spelled = parsed(batch_size=20, explainers=[{"name": "dummy", "num_explanations": 10}, {"name": "dive", "lr": 0.2}])
    assert spelled.keys() == parsed().keys()


def test_a_run_s_key_is_pinned():
    """A changed key makes every finished run of the track be explained again: raise a version to change it."""
    stack = load_suite("counterfactuals").stacks()[4]
    assert stack.label == "dive[method=random]"
    assert stack.key(0.0, 0) == "345f15a0374abf60ca4551c2370b1417743d97c6b924cde0a6efd78f9650b5da"


def test_missing_runs_and_parts_are_stacks_of_fewer_seeds():
    stack = parsed().stacks()[0]
    (part,) = stack.without({stack.key(0.0, 0)})
    assert part.seeds == (1,)
    assert [part.seeds for part in stack.divided(2)] == [(0,), (1,)]
    assert list(stack.runs()) == stack.divided(2)


def test_the_track_has_four_settings_ten_explainers_and_five_seeds():
    suite = load_suite("counterfactuals")
    assert len(suite.keys()) == 4 * 10 * 5
    assert {stack.dataset.inputs for stack in suite.stacks()} == {20}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"explainers": []}, BadSuite, "explainers.*at least 1"),
        ({"explainers": ["dvie"]}, UnknownName, "no counterfactual explainer is called 'dvie'; did you mean dive"),
        ({"explainers": [{"name": "dive", "lr": -1}]}, BadSuite, "lr = -1"),
        ({"dataset": {"corelation": 1}}, BadSuite, "dataset.corelation is not a key; did you mean correlation"),
        ({"dataset": {"breadth": 7}}, BadSuite, "breadth.*multiple of 2"),
        ({"batchsize": 7}, BadSuite, "batchsize is not a key; did you mean batch_size"),
    ],
)
def test_mistakes_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        parsed(**changes)


def test_a_suite_is_of_one_kind():
    sweep = {"dataset": {"name": "decoy", "base": "digits"}, "network": "mlp", "mitigations": [{"mitigation": "erm"}]}
    with pytest.raises(BadSuite, match="cannot be beside sweeps"):
        parse_suite({**content(), "sweeps": [sweep]}, "own.toml")
    with pytest.raises(BadSuite, match="cannot be beside sweeps or explainers"):
        parse_suite({**content(), "explainers": ["input_gradient"]}, "own.toml")
    with pytest.raises(BadSuite, match=r"needs \[\[sweeps\]\], or \[\[counterfactuals\]\]"):
        parse_suite({"name": "own", "seeds": [0]}, "own.toml")
