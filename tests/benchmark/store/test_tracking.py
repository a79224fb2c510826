"""Drivers that log the same runs at the same time leave each run once, without a lock and without an error."""

from __future__ import annotations

import multiprocessing
import threading

import pandas as pd
import pytest
from rrrbench.benchmark.store import tracking
from rrrbench.benchmark.store.record import Record
from rrrbench.benchmark.store.tracking import METRICS_A_REQUEST, Tracker, finished_keys
from sqlalchemy import event
from tiny import tiny_suite


def some_records(status="finished", **measured) -> list[Record]:
    stack = tiny_suite().stacks()[1]
    measured = {"metrics": {"accuracy/random": 0.5}, "digest": "0" * 64, **measured}
    return [Record.for_run(stack, strength, seed, status, **measured) for strength, seed in stack.places().values()]


def statuses(tracker: Tracker) -> dict[str, list[str]]:
    keys = {record.run_key: [] for record in some_records()}
    for run in tracker._search("tags.kind = 'run'"):
        keys[run.data.tags["run_key"]].append(run.info.status)
    return keys


def assert_each_run_once(uri: str) -> None:
    tracker = Tracker(uri, "tiny")
    assert set(map(tuple, statuses(tracker).values())) == {("FINISHED",)}
    (sweep,) = tracker._search("tags.kind = 'sweep'")
    assert {r.data.tags["mlflow.parentRunId"] for r in tracker._search("tags.kind = 'run'")} == {sweep.info.run_id}
    assert finished_keys(uri) == {record.run_key for record in some_records()}


@pytest.mark.parametrize("step", ["create_run", "log_batch", "log_inputs", "log_dict", "set_terminated", "search_runs"])
@pytest.mark.parametrize("call", [0, 1, 2, 5])
def test_another_driver_may_come_between_any_two_steps(uri, monkeypatch, step, call):
    one, other = Tracker(uri, "tiny"), Tracker(uri, "tiny")
    original, calls = getattr(one.client, step), []

    def interrupted(*arguments, **options):
        calls.append(step)
        if len(calls) == call + 1:
            other.log(some_records())
        return original(*arguments, **options)

    monkeypatch.setattr(one.client, step, interrupted)
    one.log(some_records())
    assert_each_run_once(uri)


def test_another_driver_may_add_the_dataset_after_mlflow_looked_for_it(uri):
    from mlflow.store.tracking.dbmodels.models import SqlDataset

    one, other = Tracker(uri, "tiny"), Tracker(uri, "tiny")
    event.listen(SqlDataset, "init", lambda *_: other.log(some_records()[-1:]), once=True)
    one.log(some_records())
    assert_each_run_once(uri)


def test_of_two_drivers_that_each_take_the_others_run_away_one_brings_its_own_back(uri, monkeypatch):
    one, other = Tracker(uri, "tiny"), Tracker(uri, "tiny")
    one.parent(some_records()[0])
    delete, end = one.client.delete_run, other.client.set_terminated
    saw_unfinished, has_deleted = threading.Event(), threading.Event()

    def delete_later(run_id):
        saw_unfinished.set()
        assert has_deleted.wait(60)
        delete(run_id)

    def end_by_a_clock_that_is_slow(run_id, status, end_time):
        meanwhile.start()
        assert saw_unfinished.wait(60)
        end(run_id, status, end_time - 60_000)

    meanwhile = threading.Thread(target=one.log, args=(some_records()[:1],))
    monkeypatch.setattr(one.client, "delete_run", delete_later)
    monkeypatch.setattr(other.client, "set_terminated", end_by_a_clock_that_is_slow)
    other.log(some_records()[:1])
    has_deleted.set()
    meanwhile.join()
    assert statuses(one)[some_records()[0].run_key] == ["FINISHED"]


def log(uri: str, barrier) -> None:
    tracker = Tracker(uri, "tiny")
    tracker.client.search_experiments()  # imports are done, and the store is open
    barrier.wait(120)
    tracker.log(some_records())


@pytest.mark.slow
def test_four_processes_at_once_leave_each_run_once(uri):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    writers = [spawn.Process(target=log, args=(uri, barrier)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert_each_run_once(uri)


def test_logging_finished_runs_again_changes_nothing(uri):
    tracker = Tracker(uri, "tiny")
    tracker.log(some_records())
    first = {run.info.run_id for run in tracker._search("tags.kind = 'run'")}
    tracker.log(some_records())
    assert {run.info.run_id for run in tracker._search("tags.kind = 'run'")} == first


def test_two_that_finished_because_a_driver_died_become_one_at_the_next_delivery(uri, monkeypatch):
    tracker = Tracker(uri, "tiny")
    parent = tracker.parent(some_records()[0])
    for record in some_records() * 2:
        tracker._log_run(record, parent, None)
    assert set(map(len, statuses(tracker).values())) == {2}
    tracker.log(some_records())
    assert_each_run_once(uri)


def test_of_failed_attempts_the_latest_is_kept_until_one_succeeds(uri):
    tracker = Tracker(uri, "tiny")
    for attempt in ("first", "second"):
        tracker.log(some_records("failed", error=f"ValueError: {attempt}"))
    assert {run.data.tags["error"] for run in tracker._search("tags.kind = 'run'")} == {"ValueError: second"}
    assert all(found == ["FAILED"] for found in statuses(tracker).values())
    tracker.log(some_records())
    assert_each_run_once(uri)


def test_more_metrics_than_a_request_has_room_for(uri):
    tracker, epochs = Tracker(uri, "tiny"), 2 * METRICS_A_REQUEST + 1
    record = some_records(curves={"right_answer": [float(epoch) for epoch in range(epochs)]})[0]
    tracker.log([record])
    (run,) = tracker._search("tags.kind = 'run'")
    assert len(tracker.client.get_metric_history(run.info.run_id, "right_answer")) == epochs


def test_a_run_that_is_being_logged_is_no_record_yet(uri):
    tracker = Tracker(uri, "tiny")
    tracker.log(some_records())
    tracker.client.create_run(tracker.experiment_id, tags={"kind": "run", "run_key": some_records()[0].run_key})
    assert len(tracker.records([record.run_key for record in some_records()])) == len(some_records())


def test_a_sqlite_store_read_directly_gives_what_mlflow_gives(uri, monkeypatch):
    tracker, keys = Tracker(uri, "tiny"), [record.run_key for record in some_records()]
    tracker.log(some_records(curves={"right_answer": [0.5, 0.25]}))
    tracker.log([record.model_copy(update={"run_key": "other"}) for record in some_records("failed", error="E: e")][:1])
    tracker.client.delete_run(tracker._search(f"tags.run_key = '{keys[0]}'")[0].info.run_id)
    direct = tracker.records([*keys, "other"]), finished_keys(uri)
    assert len(direct[0]) == len(keys)
    monkeypatch.setattr(tracking, "_is_sqlite", lambda uri: False)
    through_mlflow = tracker.records([*keys, "other"]), finished_keys(uri)
    pd.testing.assert_frame_equal(direct[0], through_mlflow[0])
    assert direct[1] == through_mlflow[1] == set(keys[1:])
