"""A team that shares a server trains each run once."""

from __future__ import annotations

import pytest
from made_up import made_up
from mlflow_server import free_port
from rrrbench.benchmark.running.executors import here
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.store.team import bring
from rrrbench.benchmark.store.writing import RECORD


def test_records_that_another_folder_delivered_are_brought_here(uri, tmp_path):
    theirs = made_up(metrics={"accuracy/random": 0.1 + 0.2}, curves={"right_answer": [0.5]}, flips=[(1, 2, 3)])
    Mirror(uri, "tiny", RecordStore(tmp_path / "theirs")).deliver([*theirs[:3], *made_up("failed", error="E")[3:]])
    store = RecordStore(tmp_path / "ours")
    keys = {record.run_key for record in theirs}
    assert bring(Mirror(uri, "tiny", store), keys, {theirs[0].sweep_key}) == (3, "")
    assert store.finished(keys) == {record.run_key: record for record in theirs[:3]}
    assert bring(Mirror(uri, "tiny", store), set(), {theirs[0].sweep_key}) == (0, "")


def test_a_record_that_cannot_be_had_is_none(uri, tmp_path, caplog):
    mirror, records = Mirror(uri, "tiny", RecordStore(tmp_path / "theirs")), made_up()
    mirror.deliver(records)
    found = {run.data.tags["run_key"]: run.info.run_id for run in mirror.search("tags.kind = 'run'")}
    mirror.client.log_text(found[records[0].run_key], "{", RECORD)
    mirror.client.log_text(found[records[1].run_key], records[2].model_dump_json(), RECORD)
    store = RecordStore(tmp_path / "ours")
    assert bring(Mirror(uri, "tiny", store), found.keys(), {records[0].sweep_key}) == (2, "")
    assert store.finished(found).keys() == {records[2].run_key, records[3].run_key}
    assert "does not read" in caplog.text


def test_a_server_that_does_not_answer_is_not_waited_for(tmp_path, caplog):
    mirror = Mirror(f"http://u:s3cret@127.0.0.1:{free_port()}", "tiny", RecordStore(tmp_path))
    brought, reason = bring(mirror, {"key"}, {"sweep"})
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
