from __future__ import annotations

import platform

import pytest
import torch
from rrrbench.benchmark.engine import plan
from rrrbench.benchmark.engine.part import Part
from rrrbench.benchmark.engine.plan import fastest
from rrrbench.methods.mitigations.rrr import RRR
from small import small_trainer


@pytest.mark.parametrize(
    ("took", "steps", "expected"),
    [
        ({"stacked": 1.0, "single": 2.0, "compiled": 0.5}, 119, "stacked"),  # too short to try compiling
        ({"stacked": 1.0, "single": 2.0, "compiled": 0.5}, 121, "compiled"),
        ({"stacked": 1.0, "single": 2.0, "compiled": 1.5}, 121, "stacked"),
        ({"stacked": 2.0, "single": 1.0, "compiled": 0.5}, 1000, "single"),  # single is faster: compiling is not tried
    ],
)
def test_the_fastest_plan_wins_and_compiling_is_tried_in_long_trainings_only(took, steps, expected):
    assert fastest(took.__getitem__, 4, steps, pytest.fail, convolves_on_cpu=False) == expected


@pytest.mark.parametrize(("single", "tried"), [(0.02, ["single"]), (0.004, ["single", "stacked", "single"])])
def test_convolutions_on_a_cpu_are_stacked_only_if_a_run_alone_is_too_small_to_keep_it_busy(single, tried):
    asked = []

    def seconds(plan):
        asked.append(plan)
        return {"single": single, "stacked": 0.001}[plan]

    assert fastest(seconds, 4, 10, pytest.fail, convolves_on_cpu=True) == (
        "single" if tried == ["single"] else "stacked"
    )
    assert asked == tried


@pytest.mark.parametrize("single", [1.0, None])
def test_where_the_trial_of_a_stack_raises_runs_are_trained_singly_if_they_can_be(single):
    said = []

    def seconds(plan):
        if plan == "stacked" or single is None:
            raise RuntimeError(f"{plan}: no rule")
        return single

    if single is None:
        with pytest.raises(RuntimeError, match="single: no rule"):
            fastest(seconds, 4, 1000, said.append, convolves_on_cpu=False)
    else:
        assert fastest(seconds, 4, 1000, said.append, convolves_on_cpu=False) == "single"
        assert said == ["stacked: no rule"]


@pytest.mark.long
def test_auto_tries_once_and_trains_by_the_choice_that_it_remembers(monkeypatch):
    tried, sizes, choices = [], [], {}
    train = Part.train
    monkeypatch.setattr(Part, "seconds_per_step", lambda part: tried.append(part) or float(part.strengths.numel()))
    monkeypatch.setattr(Part, "train", lambda part: sizes.append(part.strengths.numel()) or train(part))

    def fit():
        trainer = small_trainer((0.0, 0.1), engine="auto")
        trainer.choices = choices
        sizes.clear()
        RRR().fit(trainer)
        return list(sizes)

    assert fit() == [4]  # both plans take 4 s a step of all 4 runs: stacked is the first
    assert (len(tried), list(choices.values())) == (2, ["stacked"])
    for choice, expected in (("single", [1, 1, 1, 1]), ("stacked", [4])):
        choices[next(iter(choices))] = choice
        assert fit() == expected
    assert len(tried) == 2


@pytest.mark.long
def test_a_machine_that_cannot_compile_trains_without(monkeypatch):
    def broken(program, dynamic):
        raise RuntimeError("planted: no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(plan, "COMPILE_FROM", 0.0)
    trainer = small_trainer(engine="auto")
    assert not RRR().fit(trainer).diverged.any()
    assert set(trainer.choices.values()) <= {"stacked", "single"}


def test_a_choice_holds_for_trainings_of_its_length_on_its_machine(monkeypatch):
    trainer = small_trainer(epochs=1)
    runs = trainer.runs()
    short, as_short, long = (trainer.shape_of(RRR(), runs, steps) for steps in (90, 110, 10_000))
    assert short == as_short != long  # compiling is tried in long trainings only
    monkeypatch.setattr(platform, "node", lambda: "another")
    assert trainer.shape_of(RRR(), runs, 90) != short
