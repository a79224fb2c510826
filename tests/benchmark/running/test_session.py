"""The main job against a real MLflow on sqlite: nothing finished is trained again, nothing is logged twice."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.metrics.base import metric
from rrrbench.benchmark.running import session as session_module
from rrrbench.benchmark.running.executors import DigestMismatch, Settings, Task, here, run_stack
from rrrbench.benchmark.store import tracking
from rrrbench.benchmark.store.outbox import Outbox
from rrrbench.benchmark.store.tracking import IDENTITY, finished_keys
from rrrbench.benchmark.suite.loading import load_suite
from rrrbench.datasets.base import ShortcutDataset
from rrrbench.methods.base import Terms
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rrr import RRR
from tiny import tiny_suite

MEASURED_TIME = ["seconds", "seconds/setup"]


def rows(session) -> pd.DataFrame:
    return session.tracker.records(session.suite.keys())


def child_runs(session):
    return session.tracker._search("tags.kind = 'run'", limit=None)


def test_every_run_is_logged_whole(session):
    one = session()
    outcome = one.run()
    assert (outcome.runs, outcome.trained, outcome.failed, outcome.undelivered) == (6, 6, (), "")
    records = rows(one)
    assert list(records.columns[: len(IDENTITY)]) == list(IDENTITY)
    assert list(records.run_key) == one.suite.keys()
    assert set(records.status) == {"finished"}
    assert sorted(zip(records.mitigation, records.strength, records.seed, strict=True)) == [
        ("erm", 0.0, 0), ("erm", 0.0, 1), ("rrr", 0.1, 0), ("rrr", 0.1, 1), ("rrr", 1.0, 0), ("rrr", 1.0, 1),
    ]  # fmt: skip
    measured = [name for name in records.columns if name not in IDENTITY]
    assert all(metric(name) for name in measured)
    for expected in ("accuracy/random", "worst_class_accuracy/clean", "flip_rate", "follow_rate", "accuracy/validation",
                     "accuracy/validation_swap", "mass_abs/integrated_gradients", "seconds"):  # fmt: skip
        assert records[expected].notna().all(), expected
    (parent,) = one.tracker._search("tags.kind = 'sweep'")
    names = {file.path for file in one.tracker.client.list_artifacts(parent.info.run_id)}
    assert names == {"configuration.json", "pictures"}
    for run in child_runs(one):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"run_key", "protocol_version", "git_commit", "dirty"} <= set(run.data.tags)
        assert len(one.tracker.client.get_metric_history(run.info.run_id, "right_answer")) == 2
        ((tag,),) = [[t.value for t in d.tags if t.key == "sha256"] for d in run.inputs.dataset_inputs]
        assert len(tag) == 64


def test_a_finished_suite_is_not_touched(session, monkeypatch):
    session().run()
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a finished run"))
    assert session().run().trained == 0
    assert len(child_runs(session())) == 6


def test_networks_on_the_way_are_runs_where_the_suite_wants_them(session, monkeypatch):
    first, second, third = ({"name": "find_another_explanation", "iterations": t} for t in (1, 2, 3))
    sweep = [{"mitigation": one, "strengths": [1.0]} for one in (first, third)]
    trained = []
    monkeypatch.setattr(here, "run_stack", lambda task, *rest: (trained.append(task.stack), run_stack(task, *rest))[1])
    one = session(tiny_suite(seeds=[0], mitigations=sweep))
    with monkeypatch.context() as killed:
        killed.setattr(Outbox, "remove", lambda *_: None)  # as by a kill after logging, before the parcel is taken away
        outcome = one.run()
    assert (outcome.runs, outcome.trained) == (2, 2)  # and none of `second`, which nobody asked for
    assert [stack.mitigation.id for stack in trained] == ["find_another_explanation[iterations=3]"]
    assert len(child_runs(one)) == 2

    records = rows(one).set_index("run_key")
    alone = run_stack(Task(trained[0].with_passed()[1]), Settings(engine="stacked")).records
    expected = pd.DataFrame([{"run_key": r.run_key, **r.metrics} for r in alone]).set_index("run_key")
    measured = [name for name in expected.columns if name not in MEASURED_TIME]
    pd.testing.assert_frame_equal(records.loc[expected.index, measured], expected[measured], rtol=1e-5)

    session(tiny_suite(seeds=[0], mitigations=[{"mitigation": second, "strengths": [1.0]}])).run()
    assert len(child_runs(session())) == 3
    assert len(trained) == 2


def test_networks_before_one_that_fails_are_kept(session, monkeypatch):
    sweep = [{"mitigation": {"name": "find_another_explanation", "iterations": t}, "strengths": [1.0]} for t in (1, 3)]
    train, trainings = Trainer.train, []

    def failing(trainer, mitigation, **how):
        trainings.append(mitigation)
        if len(trainings) == 4:  # ERM, and the third network
            raise RuntimeError("planted")
        return train(trainer, mitigation, **how)

    monkeypatch.setattr(Trainer, "train", failing)
    one = session(tiny_suite(seeds=[0], mitigations=sweep))
    outcome = one.run()
    assert [record.mitigation for record in outcome.failed] == ["find_another_explanation[iterations=3]"]
    assert rows(one).set_index("mitigation").status.to_dict() == {
        "find_another_explanation": "finished", "find_another_explanation[iterations=3]": "failed",
    }  # fmt: skip


def test_networks_on_the_way_are_trained_if_another_driver_took_the_last(session, monkeypatch):
    first, third = ({"name": "find_another_explanation", "iterations": t} for t in (1, 3))
    both = tiny_suite(seeds=[0], mitigations=[{"mitigation": one, "strengths": [1.0]} for one in (first, third)])
    last = tiny_suite(seeds=[0], mitigations=[{"mitigation": third, "strengths": [1.0]}])
    one = session(both)
    tasks = one._tasks

    def after_another_driver(stack, due, after):
        session(last).run()
        return tasks(stack, due, after)

    monkeypatch.setattr(one, "_tasks", after_another_driver)
    assert one.run().trained == 1
    assert sorted(rows(one).mitigation) == ["find_another_explanation", "find_another_explanation[iterations=3]"]


def test_a_wider_sweep_trains_only_what_is_new(session):
    session().run()
    wider = tiny_suite(mitigations=[{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1, 1.0, 5.0]}])
    assert session(wider).run().trained == 2
    assert len(child_runs(session())) == 8


def test_a_failing_run_is_recorded_alone_and_tried_again(session, monkeypatch):
    terms = RRR.terms

    def failing(self, net, batch, strength):
        raise RuntimeError("planted: this term raises")

    monkeypatch.setattr(RRR, "terms", failing)
    outcome = session(tiny_suite().model_copy(update={"save_models": True})).run()
    assert {record.mitigation for record in outcome.failed} == {"rrr"}
    assert len(outcome.failed) == 4
    records = rows(session())
    assert dict(records.groupby("mitigation").status.first()) == {"erm": "finished", "rrr": "failed"}
    assert "planted: this term raises" in outcome.failed[0].error
    monkeypatch.setattr(RRR, "terms", terms)
    assert session().run().trained == 4
    assert set(rows(session()).status) == {"finished"}
    assert len(child_runs(session())) == 6  # the failed attempts are gone


def test_a_dead_term_makes_a_run_inert():
    class Detached(RRR):
        name: ClassVar[str] = "detached"

        def terms(self, net, batch, strength):
            right_answer, right_reason = super().terms(net, batch, strength)
            return Terms(right_answer, right_reason.detach())

    stack = tiny_suite().stacks()[1]
    planted = type(stack)(stack.dataset, stack.network, Detached(), stack.training, (0.0, 1.0), (0,))
    result = run_stack(Task(planted))
    assert [record.status for record in result.records] == ["finished", "inert"]
    alive = type(stack)(stack.dataset, stack.network, RRR(), stack.training, (1.0,), (0,))
    assert run_stack(Task(alive)).records[0].status == "finished"
    erm = type(stack)(stack.dataset, stack.network, ERM(), stack.training, (0.0,), (0,))
    assert run_stack(Task(erm)).records[0].status == "finished"


def test_records_wait_in_the_outbox_while_the_store_is_away(session, monkeypatch):
    monkeypatch.setattr(session_module, "PAUSES", (0,))
    one = session()
    with monkeypatch.context() as away:
        away.setattr(type(one.tracker), "log", lambda *_: (_ for _ in ()).throw(ConnectionError("planted: no store")))
        outcome = one.run()
    assert "planted: no store" in outcome.undelivered
    assert len(list(one.outbox.parcels())) == 2
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a finished run"))
    again = session()
    assert again.run().undelivered == ""
    assert list(again.outbox.parcels()) == []
    assert len(child_runs(again)) == 6


def test_a_kill_between_two_logged_runs_logs_each_once(session, monkeypatch):
    one, logged = session(), []
    log = type(one.tracker)._log_run

    def killed(self, record, *rest):
        if len(logged) == 3:
            raise KeyboardInterrupt
        logged.append(record.run_key)
        log(self, record, *rest)

    monkeypatch.setattr(type(one.tracker), "_log_run", killed)
    with pytest.raises(KeyboardInterrupt):
        one.run()
    monkeypatch.setattr(type(one.tracker), "_log_run", log)
    assert session().run().trained == 0
    keys = [run.data.tags["run_key"] for run in child_runs(session())]
    assert sorted(keys) == sorted(one.suite.keys())


def test_data_that_changed_under_the_same_recipe_is_an_error(session, monkeypatch):
    session().run()
    wider = tiny_suite(mitigations=[{"mitigation": "rrr", "strengths": [0.1, 5.0]}])
    monkeypatch.setattr(ShortcutDataset, "digest", lambda self: "0" * 64)
    with pytest.raises(DigestMismatch, match="Restore the data"):
        session(wider).run()
    assert len(child_runs(session())) == 6


def test_data_that_cannot_be_had_is_one_error_and_no_failed_runs(session, tmp_path, monkeypatch):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "nothing here"))
    suite = tiny_suite(dataset={"name": "decoy", "base": f"npz:{tmp_path / 'absent.npz'}"})
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        session(suite).run()
    assert not session(suite).tracker._search("tags.kind = 'run'")


@pytest.mark.slow
def test_a_locked_database_loses_nothing(session, monkeypatch):
    session().run()  # a store that is there
    wider = tiny_suite(mitigations=[{"mitigation": "rrr", "strengths": [0.1, 5.0]}])
    monkeypatch.setattr(tracking, "LOCK_SECONDS", 0.1)
    monkeypatch.setattr(session_module, "PAUSES", ())
    one = session(wider)
    path = one.uri.removeprefix("sqlite:///")
    trained, holder = here.run_stack, sqlite3.connect(path, isolation_level=None, timeout=60)

    def train_then_lock(*arguments):
        result = trained(*arguments)
        holder.execute("BEGIN EXCLUSIVE")
        return result

    monkeypatch.setattr(here, "run_stack", train_then_lock)
    outcome = one.run()
    assert "locked" in outcome.undelivered
    with pytest.raises(OSError, match="end the program that holds it"):
        finished_keys(one.uri)
    holder.execute("COMMIT")
    holder.close()
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a finished run"))
    assert session(wider).run().undelivered == ""
    assert set(wider.keys()) <= finished_keys(one.uri)


def test_a_full_disk_is_an_error_that_keeps_what_was_logged(session, monkeypatch):
    one, put = session(), Outbox.put

    def full(self, suite, records, *rest):
        if records[0].mitigation == "rrr":
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, suite, records, *rest)

    monkeypatch.setattr(Outbox, "put", full)
    with pytest.raises(OSError, match="No space left"):
        one.run()
    monkeypatch.setattr(Outbox, "put", put)
    assert session().run().trained == 4


def test_state_dicts_are_kept_where_the_suite_asks(session):
    suite = tiny_suite().model_copy(update={"save_models": True})
    one = session(suite)
    one.run()
    run = child_runs(one)[0]
    assert "state_dict.pt" in {file.path for file in one.tracker.client.list_artifacts(run.info.run_id)}


SUITE = """
seeds = [0, 1]
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "mlp", hidden = [8] }
training = { epochs = 12, batch_size = 32 }
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.1, 1.0]
[[sweeps.mitigations]]
mitigation = "find_another_explanation"
strengths = [0.1, 1.0]
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_then_the_same_command(session, tmp_path):
    path = tmp_path / "killed.toml"
    path.write_text(SUITE)
    suite, uri = load_suite(str(path)), f"sqlite:///{tmp_path / 'mlflow.db'}"
    command = [Path(sys.executable).parent / "rrrbench", "run", path, "--engine", "stacked", "--device", "cpu"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not finished_keys(uri) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished_keys(uri)
    assert 0 < len(before) < len(suite.keys())

    resumed = session(suite, tmp_path / "results" / "local")
    assert resumed.run().undelivered == ""
    records = rows(resumed)
    assert list(records.run_key) == suite.keys()
    assert len(child_runs(resumed)) == len(suite.keys())

    undisturbed = [r for s in suite.stacks() for r in run_stack(Task(s), Settings(engine="stacked")).records]
    expected = pd.DataFrame([{"run_key": r.run_key, **r.metrics} for r in undisturbed]).set_index("run_key")
    shared = [name for name in expected.columns if name not in MEASURED_TIME]
    found = records.set_index("run_key").loc[expected.index]
    pd.testing.assert_frame_equal(found[shared], expected[shared], check_names=False, rtol=1e-6)  # curves are float32
