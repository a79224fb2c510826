from __future__ import annotations

import io
import sys
import time

import pytest
from rrrbench.benchmark.running import progress as progress_module
from rrrbench.benchmark.running.progress import Lines, Pace, Progress, progress, said_if_long


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def test_at_first_as_much_is_left_as_was_expected(clock):
    assert Pace(total=200.0, expected=100.0).left == pytest.approx(100.0)
    assert Pace(total=200.0).left is None


def test_what_is_left_follows_the_pace_that_is_measured(clock):
    pace = Pace(total=1000.0, expected=1000.0)
    clock[0] = 1000.0
    pace.add(500.0)  # half of the work, at half of the speed
    assert pace.left == pytest.approx(1000.0, rel=0.1)
    clock[0] = 1600.0
    assert pace.left == pytest.approx(400.0, rel=0.2)
    pace.add(500.0)
    assert pace.left == 0.0


def test_a_long_first_epoch_does_not_make_the_rest_look_longer(clock):
    """Ten minutes into an epoch of fifteen, of an expected day, a day is left, and not ten."""
    pace = Pace(total=100.0, expected=86400.0)
    clock[0] = 600.0
    assert pace.left == pytest.approx(86400.0 - 600.0)


def test_a_log_has_lines_and_no_carriage_returns(clock, monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    with progress(Pace(100.0, 100.0)) as bar:
        assert isinstance(bar, Lines)
        bar.describe("runs 0/2 · decoy erm")
        for second in range(1, 101):
            clock[0] = float(second)
            bar.update(1.0)
    text = log.getvalue()
    assert "\r" not in text
    first, *_, last = text.splitlines()
    assert first == "  0% runs 0/2 · decoy erm, 00:00 so far, about 01:40 left"
    assert last == "100% runs 0/2 · decoy erm, 01:40 so far, about 00:00 left"
    assert len(text.splitlines()) == 7, "a line at first, five of 20 seconds each, and the last"


def test_nothing_is_shown_where_nothing_is_to_be_done_or_said(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    for bar in (progress(Pace(0.0)), progress(Pace(5.0), quiet=True)):
        assert type(bar) is Progress
        bar.describe("runs")
        bar.update(5.0)
        bar.close()
    assert log.getvalue() == ""


@pytest.mark.parametrize(("seconds", "quiet", "said"), [(0.3, False, "timing\n"), (0.0, False, ""), (0.3, True, "")])
def test_a_silent_part_says_what_it_does_if_it_takes_long(monkeypatch, capsys, seconds, quiet, said):
    monkeypatch.setattr(progress_module, "LONG", 0.05)
    with said_if_long("timing", quiet):
        time.sleep(seconds)
    assert capsys.readouterr().err == said
