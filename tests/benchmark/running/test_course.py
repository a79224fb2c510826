from __future__ import annotations

import pytest
from rrrbench.benchmark.engine.rehearsal import Stage
from rrrbench.benchmark.running.course import Course, Meter

COURSE = Course((Stage(10, 5.0), Stage(20, 40.0)), after=3.0)


@pytest.mark.parametrize(("epochs", "seconds"), [(0, 0.0), (5, 2.5), (10, 5.0), (15, 15.0), (30, 45.0), (99, 45.0)])
def test_the_seconds_of_a_stage_pass_with_its_epochs(epochs, seconds):
    assert COURSE.seconds_at(epochs) == pytest.approx(seconds)
    assert COURSE.seconds == 48.0


def test_a_part_of_the_runs_takes_a_part_of_the_seconds():
    assert COURSE.part(0.5).seconds == 24.0
    assert COURSE.part(0.5).seconds_at(5) == 2.5


def test_a_meter_tells_all_seconds_in_the_end_and_takes_back_what_is_trained_anew():
    told: list[float] = []
    meter = Meter(COURSE, told.append)
    meter.add(10)
    meter.add(10)
    assert sum(told) == pytest.approx(25.0)
    meter.add(-20)
    assert sum(told) == pytest.approx(0.0)
    meter.add(3)
    meter.finish()
    assert sum(told) == pytest.approx(48.0)


def test_runs_that_are_not_trained_are_no_progress():
    told: list[float] = []
    meter = Meter(Course(), told.append)
    meter.add(400)
    meter.finish()
    assert sum(told) == 0.0
