"""A team that shares a server trains each run once."""

from __future__ import annotations

import pytest
from made_up import made_up
from mlflow_server import free_port
from rrrbench.benchmark.running.executors import here
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.record import Record
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.store.team import bring
from rrrbench.benchmark.store.writing import RECORD
from tiny import tiny_suite


@pytest.mark.long
def test_records_that_another_folder_delivered_are_brought_here(uri, tmp_path):
    theirs = made_up(metrics={"accuracy/random": 0.1 + 0.2}, curves={"right_answer": [0.5]}, flips=[(1, 2, 3)])
    Mirror(uri, "tiny", RecordStore(tmp_path / "theirs")).deliver([*theirs[:3], *made_up("failed", error="E")[3:]])
    store = RecordStore(tmp_path / "ours")
    keys = {record.run_key for record in theirs}
    assert bring(Mirror(uri, "tiny", store), {key: {} for key in keys}, {theirs[0].sweep_key}) == (3, "")
    assert store.finished(keys) == {record.run_key: record for record in theirs[:3]}
    assert bring(Mirror(uri, "tiny", store), {}, {theirs[0].sweep_key}) == (0, "")


@pytest.mark.long
def test_a_record_that_cannot_be_had_is_none(uri, tmp_path, caplog):
    mirror, records = Mirror(uri, "tiny", RecordStore(tmp_path / "theirs")), made_up()
    mirror.deliver(records)
    found = {run.data.tags["run_key"]: run.info.run_id for run in mirror.search("tags.kind = 'run'")}
    mirror.client.log_text(found[records[0].run_key], "{", RECORD)
    mirror.client.log_text(found[records[1].run_key], records[2].model_dump_json(), RECORD)
    store = RecordStore(tmp_path / "ours")
    assert bring(Mirror(uri, "tiny", store), {key: {} for key in found}, {records[0].sweep_key}) == (2, "")
    assert store.finished(found).keys() == {records[2].run_key, records[3].run_key}
    assert "does not read" in caplog.text


@pytest.mark.long
@pytest.mark.parametrize(
    ("field", "value"),
    [("network", '=HYPERLINK("http://x")'), ("mitigation", "erm"), ("masks", "wrong"), ("dataset_key", "0" * 64)],
)
def test_a_record_that_says_something_else_of_its_run_than_the_suite_is_none(uri, tmp_path, caplog, field, value):
    mirror, records = Mirror(uri, "tiny", RecordStore(tmp_path / "theirs")), made_up()
    mirror.deliver(records)
    found = {run.data.tags["run_key"]: run.info.run_id for run in mirror.search("tags.kind = 'run'")}
    forged = records[0].model_copy(update={field: value})
    mirror.client.log_text(found[forged.run_key], forged.model_dump_json(), RECORD)
    (stack, store) = tiny_suite().stacks()[1], RecordStore(tmp_path / "ours")
    wanted = {key: Record.known_of(stack, *place) for key, place in stack.places().items()}
    assert bring(Mirror(uri, "tiny", store), wanted, {stack.sweep_key}) == (3, "")
    assert f"has another {field} than the suite: it is trained here" in caplog.text


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path, caplog):
    mirror = Mirror(f"http://u:s3cret@127.0.0.1:{free_port()}", "tiny", RecordStore(tmp_path))
    brought, reason = bring(mirror, {"key": {}}, {"sweep"})
    assert (brought, "does not answer" in reason) == (0, True)
    assert "does not answer" in caplog.text
    assert "s3cret" not in caplog.text


@pytest.mark.slow
def test_a_session_skips_what_others_finished(session, uri, tmp_path, monkeypatch):
    session().run()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a run that another finished"))
    outcome = session(home=tmp_path / "ours").run()
    assert (outcome.trained, len(outcome.undelivered)) == (0, 0)
