from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

import pytest
from photo_folder import write_photos
from rrrbench.benchmark.engine.rehearsal import Stage
from rrrbench.benchmark.running import forecast as forecasting
from rrrbench.benchmark.running import progress, timing
from rrrbench.benchmark.running import session as sessions
from rrrbench.benchmark.running.course import Course
from rrrbench.benchmark.running.executors import Settings
from rrrbench.benchmark.running.executors.here import Here
from rrrbench.benchmark.running.executors.processes import Processes
from rrrbench.benchmark.running.forecast import in_words
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.recipe import datasets
from tiny import tiny_suite

MITIGATIONS = [
    {"mitigation": "erm"},
    {"mitigation": "group_dro"},
    {"mitigation": "find_another_explanation", "strengths": [0.1, 1.0]},
]


@pytest.mark.slow
def test_a_forecast_counts_names_what_cannot_work_and_trains_nothing(session, tmp_path):
    forecast = session(tiny_suite(mitigations=MITIGATIONS)).forecast()
    assert (forecast.runs, forecast.finished, forecast.to_train) == (8, 0, 6)
    (hindered,) = forecast.inapplicable
    assert (hindered.mitigation, hindered.runs) == ("group_dro", 2)
    assert "no minority group" in hindered.reason
    assert forecast.courses[forecast.left[1]] == Course(), "its runs are no progress"
    (explained,) = [course for stack, course in forecast.courses.items() if stack.label == "find_another_explanation"]
    assert [stage.epochs for stage in explained.stages] == [2 * 2, 2 * 2 * 2]
    assert forecast.seconds is not None
    assert 0 < forecast.seconds < 60
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_what_is_finished_is_not_forecast_again(session):
    session(tiny_suite()).run()
    forecast = session(tiny_suite()).forecast()
    assert (forecast.finished, forecast.to_train, forecast.seconds) == (6, 0, 0)
    more = session(tiny_suite(seeds=(0, 1, 2))).forecast()
    assert (more.runs, more.finished, more.to_train) == (9, 6, 3)


def test_a_cluster_that_alone_knows_its_devices_has_a_forecast_without_minutes(session):
    class Elsewhere(Here):
        elsewhere: ClassVar[bool] = True

    forecast = session(tiny_suite(), executor=Elsewhere(), settings=Settings(device="auto")).forecast()
    assert (forecast.to_train, forecast.seconds) == (6, None)
    assert any("takes a time that cannot be told before" in line for line in forecast.lines())


def test_data_that_are_missing_are_named_with_their_path(session, monkeypatch, tmp_path):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "data"))
    forecast = session(tiny_suite(dataset={"name": "decoy", "base": "mnist"})).forecast()
    (missing,) = forecast.missing
    assert missing.runs == 6
    assert str(tmp_path / "data") in missing.reason
    assert any("missing: decoy-mnist, 6 runs" in line for line in forecast.lines())
    assert forecast.seconds is None


def test_few_made_up_twins_are_said_before_the_run(tmp_path):
    photos = {"name": "image-folder", "root": str(write_photos(tmp_path / "photos")), "size": 16}
    suite = tiny_suite(dataset=photos)
    stacks = suite.stacks()
    (first, *_) = forecasting.cautions(stacks)
    assert first.startswith("image-folder-photos[size=16]: exchanged: only 12 twins, numbers on fewer than 200 are")
    assert forecasting.cautions(stacks, {"image-folder-photos[size=16]"}) == ()
    assert forecasting.cautions(tiny_suite().stacks()) == (), "twins of planted shortcuts are true"


@pytest.mark.long
def test_the_forecast_says_the_cautions(session, tmp_path):
    photos = {"name": "image-folder", "root": str(write_photos(tmp_path / "photos", each=64)), "size": 16}
    lines = session(tiny_suite(dataset=photos)).forecast().lines()
    assert any("  caution: image-folder-photos[size=16]: exchanged: only" in line for line in lines)


@pytest.mark.slow
def test_the_session_tells_the_forecast_and_its_bar_counts_the_seconds_of_what_is_trained(session, monkeypatch):
    from rrrbench.benchmark.running import session as module

    told, shown = [], []

    class Counting(module.Pace):
        def __init__(self, total, expected=None):
            super().__init__(total, expected)
            shown.append(self)

    monkeypatch.setattr(module, "Pace", Counting)
    session(tiny_suite(mitigations=MITIGATIONS), tell=told.append).run()
    (forecast,), (pace,) = told, shown
    assert pace.total == pytest.approx(forecast.work)
    assert pace.done == pytest.approx(forecast.work)


@pytest.mark.slow
def test_processes_side_by_side_divide_the_seconds(session):
    forecast = session(tiny_suite(), executor=Processes(workers=2)).forecast()
    assert forecast.side_by_side == 2
    assert forecast.seconds == pytest.approx(forecast.work / 2)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "about 1 second"), (42, "about 42 seconds"), (130, "about 2 minutes"), (9000, "about 2.5 hours")],
)
def test_seconds_in_words(seconds, words):
    assert in_words(seconds) == words


def test_what_is_guessed_takes_as_long_for_an_input_as_what_was_timed(monkeypatch):
    """Of two sweeps of one network and training, the sweep on fewer inputs takes less time."""
    kinds = [{"name": "decoy", "base": "digits", "validation": 1000}, {"name": "decoy", "base": "digits"}]
    few, many = (tiny_suite(dataset=kind).stacks() for kind in kinds)
    small, large = (len(datasets.resolve(kind).make(0).train) for kind in kinds)
    assert small < large / 2

    def only_the_large(timing, stack, size):
        return Course((Stage(stack.epochs, 100.0),)) if size.train == large else None

    monkeypatch.setattr(timing._Timing, "course", only_the_large)
    known, _, guessed = timing.courses([*few, *many], Settings())
    assert guessed == len(few)
    an_epoch = sum(known[stack].seconds for stack in many) / sum(stack.epochs for stack in many)
    for stack in few:
        assert known[stack].seconds == pytest.approx(stack.epochs * an_epoch * small / large)


@pytest.mark.parametrize(
    ("overhead", "each", "batch"),
    [(0.005, 1e-5, 0), (0.02, 5e-5, 0), (0.03, 0.001, 32), (0.0, 0.05, 8)],
    ids=["all overhead", "quick", "slow", "very slow"],
)
def test_the_overhead_of_a_step_on_few_inputs_makes_no_network_slow(monkeypatch, overhead, each, batch):
    """A step has its overhead once, on eight inputs and on a thousand."""
    monkeypatch.setattr(timing._Timing, "_step", lambda *arguments: overhead + each * arguments[-1])
    training = Training(batch_size=1000)
    assert timing._Timing(Settings(), 20.0)._batch(None, None, training, "any size") == batch


@pytest.mark.parametrize(("load", "said"), [(4.0, True), (1.0, False)])
def test_a_forecast_of_a_busy_machine_says_so(session, load, said):
    known = session(tiny_suite()).forecast()
    forecast = replace(known, load=load, share=0.25, courses=dict.fromkeys(known.left, Course((Stage(1, 400.0),))))
    minutes = in_words(400.0 * len(known.left) / 0.25)
    line = f"  {minutes} if this machine stays busy: at present 4.0 threads want each of its cores"
    assert (line in forecast.lines()) == said


def test_a_session_that_asks_networks_for_long_says_how_many_runs_are_left(session, monkeypatch, capsys):
    monkeypatch.setattr(progress, "LONG", 0.01)
    monkeypatch.setattr(sessions, "require_suitable", lambda stacks: time.sleep(0.1))
    session(tiny_suite(), quiet=False).forecast()
    assert "6 runs are left; drawing the data, and asking each network to train on them" in capsys.readouterr().err
