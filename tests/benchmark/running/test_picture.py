"""Every saliency panel of a sweep has ERM's column, whichever stack ends first."""

from __future__ import annotations

import pytest
from rrrbench.benchmark.running import picture as module
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from rrrbench.benchmark.running.picture import Panels
from rrrbench.benchmark.store.records import RecordStore
from tiny import tiny_suite


@pytest.fixture
def results():
    """ERM's and RRR's result."""
    return [run_stack(Task(stack), Settings("cpu")) for stack in tiny_suite().stacks()]


@pytest.fixture
def headings(monkeypatch):
    """The columns of every panel that is drawn, in order."""
    drawn = []
    monkeypatch.setattr(
        module, "saliency_panel", lambda i, m, labels, looks, title: drawn.append(list(looks)) or b"png"
    )
    return drawn


def keep(panels, result):
    panels.keep(result.records[0], result.panel)


def test_a_panel_has_erms_column_first(results, headings, tmp_path):
    panels = Panels(RecordStore(tmp_path))
    for result in results:
        keep(panels, result)
    assert headings == [["ERM"], ["ERM", "strength 0.1", "strength 1"]]


@pytest.mark.slow
def test_a_panel_that_was_drawn_before_erm_was_trained_is_drawn_again(results, headings, tmp_path):
    panels = Panels(RecordStore(tmp_path))
    for result in reversed(results):
        keep(panels, result)
    assert headings == [["strength 0.1", "strength 1"], ["ERM"], ["ERM", "strength 0.1", "strength 1"]]


@pytest.mark.slow
def test_a_later_session_finds_erms_look(results, headings, tmp_path):
    for result in results:
        keep(Panels(RecordStore(tmp_path)), result)
    assert headings[-1][0] == "ERM"


@pytest.mark.slow
def test_another_draw_of_the_data_has_no_column_of_erm(results, headings, tmp_path):
    panels = Panels(RecordStore(tmp_path))
    keep(panels, results[0])
    other = run_stack(Task(tiny_suite(seeds=(7,)).stacks()[1]), Settings("cpu"))
    keep(panels, other)
    assert headings[-1] == ["strength 0.1", "strength 1"]
