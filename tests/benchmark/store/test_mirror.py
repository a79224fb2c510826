"""MLflow gets each run once, whatever drivers, kills and refusals do meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time

import pytest
from made_up import kept, made_up
from mlflow_server import free_port
from rrrbench.benchmark.metrics.base import metric
from rrrbench.benchmark.store import writing
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.store.server import sqlite_path
from rrrbench.benchmark.store.writing import METRICS_A_REQUEST, allowed
from sqlalchemy import event

NOBODY = 2**22 + 1
"""A number that no process has: beyond Linux's largest."""


@pytest.fixture
def mirror(uri, tmp_path):
    return Mirror(uri, "tiny", RecordStore(tmp_path / "home"))


@pytest.fixture
def another(uri, tmp_path):
    """The mirror of a driver that has its own folder."""
    return Mirror(uri, "tiny", RecordStore(tmp_path / "another home"))


def statuses(mirror: Mirror) -> dict[str, list[str]]:
    keys = {record.run_key: [] for record in made_up()}
    for run in mirror.search("tags.kind = 'run'"):
        keys[run.data.tags["run_key"]].append(run.info.status)
    return keys


def assert_each_run_once(mirror: Mirror) -> None:
    assert set(map(tuple, statuses(mirror).values())) == {("FINISHED",)}
    (sweep,) = mirror.search("tags.kind = 'sweep'")
    assert {r.data.tags["mlflow.parentRunId"] for r in mirror.search("tags.kind = 'run'")} == {sweep.info.run_id}


@pytest.mark.parametrize("step", ["create_run", "log_batch", "log_inputs", "log_text", "set_terminated", "search_runs"])
@pytest.mark.parametrize("call", [0, 1, 2, 5])
@pytest.mark.slow
def test_another_driver_may_come_between_any_two_steps(mirror, another, monkeypatch, step, call):
    original, calls = getattr(mirror.client, step), []

    def interrupted(*arguments, **options):
        calls.append(step)
        if len(calls) == call + 1:
            another.deliver(made_up())
        return original(*arguments, **options)

    monkeypatch.setattr(mirror.client, step, interrupted)
    assert not mirror.deliver(made_up())
    assert_each_run_once(mirror)


def test_another_driver_may_take_a_run_away_before_it_is_given_its_parent(mirror, monkeypatch):
    mirror.deliver(made_up())
    orphan = mirror.search("tags.kind = 'run'")[0].info.run_id
    mirror.client.set_tag(orphan, "mlflow.parentRunId", "the sweep of another driver")
    original = mirror.client.set_tag

    def late(run_id, *tag):
        mirror.client.delete_run(run_id)
        original(run_id, *tag)

    monkeypatch.setattr(mirror.client, "set_tag", late)
    mirror._leave_one_each(made_up())
    (sweep,) = mirror.search("tags.kind = 'sweep'")
    mirror.summarise(sweep.data.tags["sweep_key"], "a table", None)


def test_a_tag_that_the_server_refuses_is_no_run_taken_away(mirror):
    mirror.deliver(made_up())
    with pytest.raises(Exception, match="wrong/"):
        mirror.set_tag(mirror.search("tags.kind = 'run'")[0].info.run_id, "//wrong/", "?")


def test_another_driver_may_add_the_dataset_after_mlflow_looked_for_it(mirror, another):
    from mlflow.store.tracking.dbmodels.models import SqlDataset

    event.listen(SqlDataset, "init", lambda *_: another.deliver(made_up()[-1:]), once=True)
    assert not mirror.deliver(made_up())
    assert_each_run_once(mirror)


def deliver(uri: str, home, barrier) -> None:
    mirror = Mirror(uri, "tiny", RecordStore(home))
    mirror.client.search_experiments()  # imports are done, and the store is open
    barrier.wait(120)
    undelivered = mirror.deliver(made_up())
    assert not undelivered, undelivered.reason or undelivered.refused


@pytest.mark.slow
@pytest.mark.faults
def test_four_processes_at_once_leave_each_run_once(mirror, uri, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    writers = [spawn.Process(target=deliver, args=(uri, tmp_path / f"home {i}", barrier)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert_each_run_once(mirror)


def test_delivering_again_changes_nothing_and_does_not_ask(mirror, another, monkeypatch):
    mirror.deliver(made_up())
    first = {run.info.run_id for run in mirror.search("tags.kind = 'run'")}
    for again in (mirror, another, Mirror(mirror.uri, "another suite", another.store)):
        assert not again.deliver(made_up())
    assert not another.deliver(made_up(), anew=True)
    assert {run.info.run_id for run in mirror.search("tags.kind = 'run'")} == first
    later = Mirror(mirror.uri, "tiny", mirror.store)
    monkeypatch.setattr(later, "_deliver_stack", lambda *_: pytest.fail("asked for what it was given"))
    assert not later.deliver(made_up())


@pytest.mark.long
def test_a_server_that_was_wiped_is_given_everything_again(mirror, uri, fresh_database):
    import shutil
    from pathlib import Path

    mirror.deliver(made_up())
    mirror.client._tracking_client.store.engine.dispose()
    shutil.copy(fresh_database, Path(uri.removeprefix("sqlite:///")))
    again = Mirror(uri, "tiny", mirror.store)
    assert not again.deliver(made_up())
    assert_each_run_once(again)


@pytest.mark.long
def test_runs_that_a_dead_driver_left_become_one_each(mirror, monkeypatch):
    parent = mirror._parent(made_up()[0])
    for record in made_up() * 2:
        mirror.writer.run(record, parent)
    with monkeypatch.context() as killed:
        killed.setattr(mirror.client, "set_terminated", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            mirror.writer.run(made_up()[0], parent)
    unfinished = next(run for run in mirror.search("tags.kind = 'run'") if run.info.status == "RUNNING")
    mirror.client.set_tag(unfinished.info.run_id, writing.WRITER, f"{socket.gethostname()} {NOBODY}")
    assert sorted(statuses(mirror)[made_up()[0].run_key]) == ["FINISHED", "FINISHED", "RUNNING"]
    assert not mirror.deliver(made_up())
    assert not mirror.deliver(made_up(), anew=True)
    mirror._leave_one_each(made_up())
    assert_each_run_once(mirror)


@pytest.mark.parametrize(
    ("writer", "age", "expected"),
    [
        (f"{socket.gethostname()} {os.getpid()}", 1e6, False),
        (f"{socket.gethostname()} {NOBODY}", 0, True),
        ("another-host 1", 0, False),
        ("another-host 1", 1e6, True),
        ("", 0, True),  # of a version that did not say
    ],
    ids=["this process", "a dead process", "elsewhere, now", "elsewhere, long ago", "unsaid"],
)
def test_a_run_is_abandoned_if_its_process_is_gone_or_its_time(mirror, writer, age, expected):
    tags = {writing.WRITER: writer, writing.WRITTEN: f"{time.time() - age:.0f}"} if writer else {}
    run = mirror.client.create_run(mirror.experiment_id, tags=tags)
    assert writing.abandoned(run) == expected


def test_two_drivers_that_see_each_other_half_never_take_both_runs_away(mirror, another, monkeypatch):
    """The first has finished and looks while the second still writes; the second then finishes, and acts first."""
    record = made_up()[0]
    parent = mirror._parent(record)
    with monkeypatch.context() as writing_still:
        writing_still.setattr(another.client, "set_terminated", lambda *_: None)
        mirror.writer.run(record, parent)
        another.writer.run(record, parent)
    theirs = next(run for run in another.search("tags.kind = 'run'") if run.info.status == "RUNNING")
    seen = mirror._attempts([record])
    another.client.set_terminated(theirs.info.run_id)
    another._leave_one_each([record])
    with monkeypatch.context() as late:
        late.setattr(mirror, "_attempts", lambda _: seen)
        mirror._leave_one_each([record])
    mirror._leave_one_each([record])
    assert statuses(mirror)[record.run_key] == ["FINISHED"]


@pytest.mark.long
def test_of_failed_attempts_the_latest_is_kept_until_one_succeeds(mirror):
    for attempt in ("first", "second", "second"):
        assert not mirror.deliver(made_up("failed", error=f"Traceback\nValueError: {attempt}"))
    assert {run.data.tags["error"] for run in mirror.search("tags.kind = 'run'")} == {"ValueError: second"}
    assert all(found == ["FAILED"] for found in statuses(mirror).values())
    assert not mirror.deliver(made_up())
    assert_each_run_once(mirror)


@pytest.mark.long
def test_a_record_that_is_refused_holds_up_no_other(mirror, monkeypatch):
    from mlflow.exceptions import MlflowException

    log_batch, records = mirror.client.log_batch, made_up()

    def refusing(run_id, *arguments):
        if mirror.client.get_run(run_id).data.tags["run_key"] == records[1].run_key:
            raise MlflowException("Invalid metric name: planted")
        log_batch(run_id, *arguments)

    monkeypatch.setattr(mirror.client, "log_batch", refusing)
    undelivered = mirror.deliver(records)
    assert undelivered.records == [records[1]]
    assert not undelivered.reason
    assert "Invalid metric name: planted" in str(undelivered)
    assert statuses(mirror) == {r.run_key: [] if r is records[1] else ["FINISHED"] for r in records}
    monkeypatch.setattr(mirror.client, "log_batch", log_batch)
    assert not Mirror(mirror.uri, "tiny", mirror.store).deliver(records)
    assert_each_run_once(mirror)


def test_a_metric_of_an_explainer_with_parameters_is_logged_under_a_name_that_mlflow_allows(mirror):
    name = "unattributed/smooth_gradient[n_samples=2]"
    assert metric(name)
    assert not mirror.deliver(made_up(metrics={name: 3.0, "accuracy/random": 0.5}))
    (run, *_) = mirror.search("tags.kind = 'run'")
    assert run.data.metrics == {"unattributed/smooth_gradient_n_samples_2_": 3.0, "accuracy/random": 0.5}
    assert allowed("a: b-c.d/e_f") == "a: b-c.d/e_f"


@pytest.mark.long
def test_an_experiment_that_somebody_deleted_is_said_and_can_be_restored(mirror):
    mirror.deliver(made_up()[:1])
    mirror.client.delete_experiment(mirror.experiment_id)
    again = Mirror(mirror.uri, "tiny", mirror.store)
    undelivered = again.deliver(made_up())
    assert "experiment 'tiny' is deleted" in undelivered.reason
    assert len(undelivered) == 4
    again.restore_experiment()
    assert not again.deliver(made_up(), anew=True)
    assert_each_run_once(again)


@pytest.mark.parametrize("content", [b"garbage" * 1000, b"SQLite format 3\x00" + bytes(4096)])
def test_a_database_that_is_none_is_said(tmp_path, content):
    (tmp_path / "mlflow.db").write_bytes(content)
    mirror = Mirror(f"sqlite:///{tmp_path / 'mlflow.db'}", "tiny", RecordStore(tmp_path))
    undelivered = mirror.deliver(made_up())
    assert len(undelivered) == 4
    assert f"{tmp_path}/mlflow.db" in undelivered.reason
    assert "move it away" in undelivered.reason
    assert (tmp_path / "mlflow.db").read_bytes() == content


def test_a_database_of_which_a_page_is_damaged_is_said(mirror):
    path = sqlite_path(mirror.uri)
    mirror.deliver(made_up()[:1])
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"garbage!" * (len(content[4096:]) // 8))
    undelivered = Mirror(mirror.uri, "tiny", mirror.store).deliver(made_up())
    assert str(path) in undelivered.reason
    assert "move it away" in undelivered.reason


@pytest.mark.long
def test_a_folder_at_the_database_s_place_is_said(tmp_path):
    (tmp_path / "mlflow.db/inside").mkdir(parents=True)
    undelivered = Mirror(f"sqlite:///{tmp_path / 'mlflow.db'}", "tiny", RecordStore(tmp_path)).deliver(made_up())
    assert f"{tmp_path}/mlflow.db is a folder" in undelivered.reason
    assert "move it away" in undelivered.reason


@pytest.mark.parametrize("at", ["delivered", "delivered/{note}"])
@pytest.mark.parametrize("kind", ["file", "folder", "garbage"])
def test_notes_of_what_was_delivered_that_do_not_read_are_ignored(mirror, at, kind):
    assert not mirror.deliver(made_up())
    (note,) = (mirror.store.home / "delivered").iterdir()
    place = mirror.store.home / at.format(note=note.name)
    note.unlink()
    if place.is_dir():
        place.rmdir()
    if kind == "folder":
        (place / "inside").mkdir(parents=True)
    else:
        place.write_bytes(b"" if kind == "file" else b"\xff\x00\n" * 9)
    for anew in (False, True):
        assert not Mirror(mirror.uri, "tiny", mirror.store).deliver(made_up(), anew=anew)
    assert_each_run_once(mirror)


def test_a_server_that_is_away_is_not_waited_for(tmp_path):
    mirror = Mirror(f"http://127.0.0.1:{free_port()}", "tiny", RecordStore(tmp_path))
    assert "does not answer" in mirror.deliver(made_up()).reason


@pytest.mark.long
def test_more_metrics_than_a_request_has_room_for(mirror):
    epochs = 2 * METRICS_A_REQUEST + 1
    record = made_up(curves={"right_answer": [float(epoch) for epoch in range(epochs)]})[0]
    assert not mirror.deliver([record])
    (run,) = mirror.search("tags.kind = 'run'")
    assert len(mirror.client.get_metric_history(run.info.run_id, "right_answer")) == epochs


def test_pictures_and_state_dicts_are_shown(mirror):
    import torch

    record = made_up()[0]
    mirror.store.put(record, {"weight": torch.ones(1)})
    mirror.store.put_picture(record, b"png")
    assert not mirror.deliver([record])
    (run,), (sweep,) = (mirror.search(f"tags.kind = '{kind}'") for kind in ("run", "sweep"))
    assert {file.path for file in mirror.client.list_artifacts(run.info.run_id)} == {"record.json", "state_dict.pt"}
    assert [file.path for file in mirror.client.list_artifacts(sweep.info.run_id, "pictures")] == ["pictures/rrr.png"]


@pytest.mark.long
def test_a_delivered_list_that_does_not_read_is_made_again(mirror):
    mirror.deliver(kept(mirror.store, made_up()))
    for path in (mirror.store.home / "delivered").iterdir():
        path.write_bytes(b"\xff\x00 garbage")
    again = Mirror(mirror.uri, "tiny", mirror.store)
    assert not again.deliver(made_up())
    assert_each_run_once(again)


def test_an_experiment_has_its_kind_and_view_from_its_first_run(mirror):
    """MLflow's page opens an experiment without them as GenAI's, and an interrupted suite is never described."""
    mirror.deliver(made_up())
    experiment = mirror.client.get_experiment(mirror.experiment_id)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    assert "metrics.`accuracy/random`" in experiment.tags["mlflow.sharedViewState.runs"]
