"""Stacks of explanations, run by executors, on a classifier that needs no training."""

import math

import pytest
from letters import Ink
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.running.executors import DigestMismatch, Settings, Task, explaining, run_stack
from rrrbench.benchmark.running.executors.base import run_kind
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.methods.explainers.counterfactual.dummy import Dummy


@pytest.fixture(autouse=True)
def made(monkeypatch):
    made = []
    monkeypatch.setattr(explaining, "trained", lambda *given: made.append(given) or Ink())
    explaining._subject.cache_clear()
    yield made
    explaining._subject.cache_clear()


def suite(*explainers, **changes):
    sweep = {"dataset": {"inputs": 6}, "network": "lenet", "explainers": list(explainers or ("is", "dummy"))}
    return parse_suite({"name": "own", "seeds": [0, 1], "counterfactuals": [sweep], **changes}, "own")


@pytest.mark.long
def test_a_record_is_like_everybody_s(made):
    stack = suite().stacks()[0]
    result = run_stack(Task(stack))
    assert [(record.mitigation, record.strength, record.seed) for record in result.records] == [
        ("is", 0, 0),
        ("is", 0, 1),
    ]
    record = result.records[0]
    assert (record.dataset, record.network, record.masks, record.status) == (
        "glyphs[inputs=6]",
        "lenet",
        "true",
        "finished",
    )
    assert (record.run_key, record.sweep_key) == (stack.key(0.0, 0), stack.sweep_key)
    assert record.configuration["explainer"] == stack.explainer.resolved()
    assert len(record.digest) == 64
    assert record.digest != result.records[1].digest
    assert not any(map(math.isnan, record.metrics.values())), "a share of nothing is absent"
    assert result.panel.startswith(b"\x89PNG")
    assert result.models == {}
    assert len(made) == 2


@pytest.mark.long
def test_the_numbers_are_those_of_bex_s_benchmark():
    (record,) = run_stack(Task(suite("dice", seeds=[1]).stacks()[0])).records
    numbers = bex.Benchmark(20, n_samples=6, seed=1, logger=None, classifier=Ink()).run("dice")
    assert {name: value for name, value in record.metrics.items() if name != "seconds"} == {
        name: value for name, value in numbers.items() if not math.isnan(value)
    }


@pytest.mark.long
def test_the_explainers_of_a_sweep_share_a_classifier(made):
    for stack in suite().stacks():
        run_stack(Task(stack))
    assert len(made) == 2, "one for each seed"


def test_an_explainer_that_raises_fails_alone_and_progress_is_whole(monkeypatch):
    explain = Dummy.explain

    def raises(self, question):
        if question.rng.initial_seed() == 0:
            raise RuntimeError("no luck")
        return explain(self, question)

    monkeypatch.setattr(Dummy, "explain", raises)
    epochs, stack = [], suite("dummy").stacks()[0]
    first, second = run_stack(Task(stack), None, epochs.append).records
    assert (first.status, second.status) == ("failed", "finished")
    assert "RuntimeError: no luck" in first.error
    assert sum(epochs) == stack.epochs


@pytest.mark.long
def test_letters_that_differ_from_the_recorded_ones_are_refused():
    stack = suite().stacks()[0]
    with pytest.raises(DigestMismatch, match=r"glyphs\[inputs=6\], seed 1, differs"):
        run_stack(Task(stack, {stack.dataset_key(1): "0" * 64}))


def test_a_picture_is_made_once_and_state_dicts_if_asked_for():
    stack = suite().stacks()[0]
    result = run_stack(Task(stack, panel=False), Settings(save_models=True))
    assert result.panel is None
    assert set(result.models) == set(stack.places())
    assert set(result.models[stack.key(0.0, 0)]) == {"threshold"}


@pytest.mark.usefixtures("shapes_unchecked")
def test_a_kind_of_stack_that_nobody_runs_is_named():
    with pytest.raises(NotImplementedError, match="how to run a str"):
        run_kind("stack", None, None, None)


@pytest.mark.slow
def test_a_session_explains_what_is_not_finished(session, made):
    outcome = session(suite()).run()
    assert (outcome.runs, outcome.trained, outcome.failed) == (4, 4, ())
    more = suite("is", "dummy", "stylex")
    outcome = session(more).run()
    assert (outcome.runs, outcome.trained) == (6, 2)
    assert session(more).run().trained == 0


@pytest.mark.long
def test_a_stack_is_divided_by_seeds():
    stack = suite().stacks()[0]
    whole = run_stack(Task(stack)).records
    parts = [record for part in stack.divided(2) for record in run_stack(Task(part)).records]
    assert [timeless(record) for record in parts] == [timeless(record) for record in whole]


def timeless(record):
    return record.model_copy(update={"metrics": {**record.metrics, "seconds": 0.0}})
