"""What `--executor auto` takes, from made-up seconds; and that the numbers do not depend on it."""

from __future__ import annotations

import pandas as pd
import pytest
from rrrbench.benchmark.engine.rehearsal import Stage
from rrrbench.benchmark.running import place
from rrrbench.benchmark.running.course import Course
from rrrbench.benchmark.running.executors import Settings
from rrrbench.benchmark.running.executors.auto import Auto
from rrrbench.benchmark.running.executors.here import Here
from rrrbench.benchmark.running.executors.processes import Processes
from rrrbench.benchmark.store.frames import flat
from tiny import tiny_suite

ERM, RRR = tiny_suite(seeds=(0, 1, 2, 3)).stacks()
"""4 runs and 8 runs."""


@pytest.fixture(autouse=True)
def two_idle_cores(monkeypatch):
    monkeypatch.setattr(place.joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(place.psutil, "getloadavg", lambda: (0.1, 0.1, 0.1))


def taking(erm: float, rrr: float) -> dict:
    return {ERM: Course((Stage(8, erm),)), RRR: Course((Stage(16, rrr),))}


def never(stack):
    raise AssertionError("nothing needs to be timed")


def test_processes_are_taken_where_a_worker_needs_little_more_for_its_share():
    timed = []

    def half_of_rrr(stack):
        timed.append(stack)
        return Course((Stage(8, 44.0),))

    found = place.faster(taking(20, 80), Settings(), half_of_rrr)
    assert found.executor == Processes(workers=2)
    assert timed == [RRR.divided(2)[0]]
    # a worker takes 44 s for the half of what takes 80 s here, so 1.1 s for a second; both workers: 10 + 110 / 2 = 65 s
    assert sum(course.seconds for course in found.courses.values()) == pytest.approx(110)
    assert found.words == "in 2 processes of one thread each, 1.5 times as fast as in this process"


def test_this_process_is_taken_where_a_single_thread_is_slow():
    courses = taking(20, 80)
    found = place.faster(courses, Settings(), lambda stack: Course((Stage(8, 70.0),)))
    assert (found.executor, found.courses, found.words) == (Here(), courses, "in this process")


@pytest.mark.parametrize(("share", "executor"), [(71.0, Here()), (69.0, Processes(workers=2))])
def test_processes_must_be_expected_to_be_faster_by_a_quarter(share, executor):
    """100 s here against 10 s + the seconds of a worker's half: 80 s is the most."""
    found = place.faster(taking(0, 100), Settings(), lambda stack: Course((Stage(8, share),)))
    assert found.executor == executor


@pytest.mark.parametrize("seconds", [5.0, 33.0])
def test_short_suites_stay_here_and_nothing_more_is_timed(seconds):
    """33 s: 1.25 * (10 + 33 / 2) = 33.1 s at best."""
    assert place.faster(taking(0, seconds), Settings(), never).executor == Here()


def test_on_a_busy_machine_processes_are_expected_to_start_later(monkeypatch):
    """Eight programs on two cores: 40 s until processes train, and 40 + 50 s are more than 0.8 * 100 s."""
    half = Course((Stage(8, 50.0),))
    assert place.faster(taking(0, 100), Settings(), lambda stack: half).executor == Processes(workers=2)
    monkeypatch.setattr(place.psutil, "getloadavg", lambda: (8.0, 8.0, 8.0))
    assert place.faster(taking(0, 100), Settings(), never).executor == Here()
    assert place.faster(taking(0, 400), Settings(), lambda stack: Course((Stage(8, 200.0),))).executor != Here()


def test_one_core_a_gpu_few_runs_and_unknown_seconds_stay_here(monkeypatch):
    assert place.faster(taking(500, 500), Settings(device="cuda"), never).executor == Here()
    assert place.faster({}, Settings(), never).executor == Here()
    single = ERM.of(ERM.strengths, (0,))
    assert place.faster({single: Course((Stage(2, 500.0),))}, Settings(), never).executor == Here()
    assert place.faster(taking(500, 500), Settings(), lambda stack: None).executor == Here()
    monkeypatch.setattr(place.joblib, "cpu_count", lambda: 1)
    assert place.faster(taking(500, 500), Settings(), never).executor == Here()


@pytest.mark.slow
def test_auto_is_said_once_before_the_run(session):
    lines = list(session(executor=Auto()).forecast().lines())
    assert [line for line in lines if "process" in line] == [line for line in lines if "takes" in line]
    assert next(line for line in lines if "takes" in line).endswith("in this process")
    assert not any("process" in line for line in session(executor=Here()).forecast().lines())


@pytest.mark.slow
def test_the_numbers_are_the_same_wherever_auto_trains(session, monkeypatch, tmp_path):
    suite = tiny_suite()
    here = session(home=tmp_path / "here", executor=Auto())
    here.run()
    assert here.executor == Here()
    monkeypatch.setattr(place, "MARGIN", 0.0)
    beside = session(home=tmp_path / "beside", executor=Auto())
    beside.run()
    assert beside.executor == Processes(workers=2)
    tables = [flat(one.store.all(suite.keys())).set_index("run_key").sort_index() for one in (here, beside)]
    first, second = (table.drop(columns=["seconds", "seconds/setup"]) for table in tables)
    pd.testing.assert_frame_equal(first, second, rtol=1e-4, atol=1e-4, check_like=True)
