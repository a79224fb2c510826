from __future__ import annotations

import multiprocessing

import pytest
from conftest import tiny_suite
from rrrbench.benchmark.record import Record
from rrrbench.benchmark.tracking import Tracker, finished_keys


def a_record() -> Record:
    stack = tiny_suite().stacks()[1]
    return Record.of(stack, 0.1, 0, "finished", metrics={"accuracy/random": 0.5}, digest="0" * 64)


def log(uri: str, barrier) -> None:
    tracker, record = Tracker(uri, "tiny"), a_record()
    parent = tracker.parent(record)
    search = tracker._search

    def meet(query, *rest, **limits):
        found = search(query, *rest, **limits)
        tracker._search = search
        barrier.wait(60)  # both have looked before either has written
        return found

    tracker._search = meet
    tracker.log(record, parent)


@pytest.mark.slow
def test_two_sessions_that_log_one_run_at_once_leave_one(uri):
    Tracker(uri, "tiny").parent(a_record())
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(2)
    writers = [spawn.Process(target=log, args=(uri, barrier)) for _ in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    tracker = Tracker(uri, "tiny")
    assert len(tracker._search(f"tags.run_key = '{a_record().run_key}'")) == 1
    assert a_record().run_key in finished_keys(uri)


def test_logging_a_finished_run_again_changes_nothing(uri):
    tracker = Tracker(uri, "tiny")
    parent = tracker.parent(a_record())
    tracker.log(a_record(), parent)
    (first,) = tracker._search("tags.kind = 'run'")
    tracker.log(a_record(), parent)
    (second,) = tracker._search("tags.kind = 'run'")
    assert first.info.run_id == second.info.run_id
