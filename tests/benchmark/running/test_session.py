"""The main job with a real MLflow on sqlite: nothing finished is trained again, nothing is lost or logged twice."""

from __future__ import annotations

import errno
import json
import socket
import sqlite3
from contextlib import suppress
from typing import ClassVar

import pandas as pd
import pytest
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.metrics.base import metric
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.networks.mlp import MLP
from rrrbench.benchmark.running import session as running
from rrrbench.benchmark.running.executors import DigestMismatch, Settings, Task, here, run_stack
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.store.frames import IDENTITY, flat
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.store.server import Away
from rrrbench.datasets.base import ShortcutDataset
from rrrbench.methods.base import Terms
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rrr import RRR
from tiny import tiny_suite
from torch import nn

MEASURED_TIME = ["seconds", "seconds/setup"]


def rows(session) -> pd.DataFrame:
    return flat(session.store.all(session.suite.keys()))


def child_runs(session):
    return session.mirror.search("tags.kind = 'run'")


@pytest.mark.long
def test_every_run_is_logged_whole(session):
    one = session()
    outcome = one.run()
    assert (outcome.runs, outcome.trained, outcome.failed, len(outcome.undelivered)) == (6, 6, (), 0)
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
    (parent,) = one.mirror.search("tags.kind = 'sweep'")
    names = {file.path for file in one.mirror.client.list_artifacts(parent.info.run_id)}
    assert names == {"configuration.json", "pictures"}
    for run in child_runs(one):
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"run_key", "protocol_version", "git_commit", "dirty"} <= set(run.data.tags)
        assert len(one.mirror.client.get_metric_history(run.info.run_id, "right_answer")) == 2
        ((tag,),) = [[t.value for t in d.tags if t.key == "sha256"] for d in run.inputs.dataset_inputs]
        assert len(tag) == 64


@pytest.mark.long
def test_a_finished_suite_is_not_touched(session, monkeypatch):
    session().run()
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a finished run"))
    assert session().run().trained == 0
    assert len(child_runs(session())) == 6


@pytest.mark.slow
def test_networks_on_the_way_are_runs_where_the_suite_wants_them(session, monkeypatch):
    first, second, third = ({"name": "find_another_explanation", "iterations": t} for t in (1, 2, 3))
    sweep = [{"mitigation": one, "strengths": [1.0]} for one in (first, third)]
    trained = []
    monkeypatch.setattr(here, "run_stack", lambda task, *rest: (trained.append(task.stack), run_stack(task, *rest))[1])
    one = session(tiny_suite(seeds=[0], mitigations=sweep))
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.long
def test_a_wider_sweep_trains_only_what_is_new(session):
    session().run()
    wider = tiny_suite(mitigations=[{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1, 1.0, 5.0]}])
    assert session(wider).run().trained == 2
    assert len(child_runs(session())) == 8


@pytest.mark.slow
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


@pytest.mark.long
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


@pytest.mark.long
def test_training_goes_on_while_mlflow_is_away(session, monkeypatch):
    one, asked = session(), []

    def planted(self, stack):
        asked.append(len(stack))
        raise Away("planted: no server")

    with monkeypatch.context() as away:
        away.setattr(Mirror, "_deliver_stack", planted)
        away.setattr(running, "ONCE_MORE_AFTER", 0.0)
        outcome = one.run()
    assert outcome.trained == 6
    assert "planted: no server" in str(outcome.undelivered)
    assert len(outcome.undelivered) == 6
    assert len(asked) == 2  # after the first stack, and at the end: not once a stack


@pytest.mark.slow
def test_the_server_is_asked_once_where_training_ends_a_moment_after_it_was_away(session, monkeypatch):
    asked = []
    monkeypatch.setattr(running, "ONCE_MORE_AFTER", 3600.0)
    monkeypatch.setattr(Mirror, "_deliver_stack", lambda self, stack: asked.append(stack) or _raise(Away("planted")))
    assert len(session().run().undelivered) == 6
    assert len(asked) == 1


@pytest.mark.parametrize(("once_more_after", "asked"), [pytest.param(3600.0, 1, marks=pytest.mark.slow), (0.0, 2)])
@pytest.mark.slow
def test_a_shared_server_that_never_answers_is_asked_once_for_all_of_training(
    tmp_path, monkeypatch, once_more_after, asked
):
    monkeypatch.setattr(running, "ONCE_MORE_AFTER", once_more_after)
    monkeypatch.setattr("rrrbench.benchmark.store.server.ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        outcome = Session(tiny_suite(), tmp_path / "home").run()
        mute.setblocking(False)
        connections = 0
        with suppress(BlockingIOError):
            while True:
                mute.accept()[0].close()
                connections += 1
    assert (outcome.trained, len(outcome.undelivered)) == (6, 6)
    assert "says nothing" in outcome.undelivered.reason
    assert connections == asked


@pytest.mark.slow
def test_what_a_server_lacks_is_delivered_by_the_next_session_without_training(session, monkeypatch):
    with monkeypatch.context() as away:
        away.setattr(Mirror, "_deliver_stack", lambda self, stack: _raise(Away("planted")))
        session().run()
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a finished run"))
    assert not session().run().undelivered
    assert len(child_runs(session())) == 6


def _raise(error):
    raise error


def test_a_network_that_would_be_another_one_is_refused_before_anything_is_trained(session):
    class Dropping(MLP):
        name: ClassVar[str] = "dropping"

        def layers(self, features, classes):
            layers, head = super().layers(features, classes)
            return layers, nn.Sequential(nn.Dropout(0.5), head)

    with networks.temporary():
        networks.register(Dropping)
        one = session(tiny_suite(network={"name": "dropping", "hidden": [8]}))
        with pytest.raises(ValueError, match=r"network dropping.*layer head\.0 \(Dropout\) draws random numbers"):
            one.run()
    assert not one.store.all(one.suite.keys())


SLOW = pytest.mark.slow


@pytest.mark.parametrize("after", [pytest.param(after, marks=SLOW) for after in range(7)])
@pytest.mark.faults
def test_a_kill_between_two_record_files_trains_what_is_left(session, monkeypatch, after):
    put, kept = RecordStore.put, []

    def killed(self, record, *rest):
        if len(kept) == after:
            raise KeyboardInterrupt
        kept.append(record.run_key)
        put(self, record, *rest)

    one = session()
    monkeypatch.setattr(RecordStore, "put", killed)
    if after < 6:
        with pytest.raises(KeyboardInterrupt):
            one.run()
    monkeypatch.setattr(RecordStore, "put", put)
    assert session().run().trained == 6 - len(kept)
    keys = [run.data.tags["run_key"] for run in child_runs(session())]
    assert sorted(keys) == sorted(one.suite.keys())


@pytest.mark.slow
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
    assert not session(suite).mirror.search("tags.kind = 'run'")


@pytest.mark.slow
@pytest.mark.faults
def test_a_locked_database_loses_nothing(session, monkeypatch):
    session().run()
    wider = tiny_suite(mitigations=[{"mitigation": "rrr", "strengths": [0.1, 5.0]}])
    one = session(wider)
    trained, holder = here.run_stack, sqlite3.connect(one.mirror.uri.removeprefix("sqlite:///"), isolation_level=None)

    def train_then_lock(*arguments):
        result = trained(*arguments)
        holder.execute("BEGIN EXCLUSIVE")
        return result

    monkeypatch.setattr(here, "run_stack", train_then_lock)
    outcome = one.run()
    assert "locked" in str(outcome.undelivered)
    assert len(rows(one)) == 4
    holder.execute("COMMIT")
    holder.close()
    monkeypatch.setattr(here, "run_stack", lambda *_: pytest.fail("trained a finished run"))
    assert not session(wider).run().undelivered
    assert set(wider.keys()) <= {run.data.tags["run_key"] for run in child_runs(one)}


@pytest.mark.slow
def test_a_full_disk_is_an_error_that_keeps_what_was_finished(session, monkeypatch):
    put = RecordStore.put

    def full(self, record, *rest):
        if record.mitigation == "rrr":
            raise OSError(errno.ENOSPC, "No space left on device")
        put(self, record, *rest)

    monkeypatch.setattr(RecordStore, "put", full)
    with pytest.raises(OSError, match="No space left"):
        session().run()
    monkeypatch.setattr(RecordStore, "put", put)
    assert session().run().trained == 4


@pytest.mark.slow
def test_a_truncated_record_is_trained_again(session, caplog):
    session().run()
    one = session()
    path = one.store.path(one.suite.keys()[2])
    path.write_bytes(path.read_bytes()[:100])
    outcome = one.run()
    assert (outcome.trained, len(outcome.undelivered)) == (1, 0)
    assert len(rows(one)) == len(child_runs(one)) == 6
    assert path.name in caplog.text


@pytest.mark.slow
def test_an_engine_file_that_does_not_read_is_written_anew(session):
    one = session(settings=Settings())
    one.choices.path.parent.mkdir(parents=True)
    one.choices.path.write_bytes(b"garbage")
    assert session(settings=Settings()).run().trained == 6
    assert len(json.loads(one.choices.path.read_text())) >= 2


@pytest.mark.slow
def test_state_dicts_are_kept_where_the_suite_asks(session):
    suite = tiny_suite().model_copy(update={"save_models": True})
    one = session(suite)
    one.run()
    run = child_runs(one)[0]
    assert "state_dict.pt" in {file.path for file in one.mirror.client.list_artifacts(run.info.run_id)}
