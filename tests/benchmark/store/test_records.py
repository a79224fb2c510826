"""A run is finished if and only if its file is there and reads whole."""

from __future__ import annotations

import errno
import json
import os
import threading

import pytest
import torch
from made_up import kept, made_up
from rrrbench.benchmark.store import records as records_module
from rrrbench.benchmark.store.records import RecordStore


@pytest.fixture
def store(tmp_path):
    return RecordStore(tmp_path / "home")


def test_what_is_put_is_read_as_it_was(store):
    (record, *_) = made_up(
        metrics={"a": 0.1, "b": float("nan")}, curves={"right_answer": [1.0, 0.5]}, flips=[(1, 2, 3)]
    )
    store.put(record)
    read = RecordStore(store.home).get(record.run_key)
    assert read.model_dump_json() == record.model_dump_json()
    assert store.digest(record.dataset_key) == "0" * 64


def test_a_record_is_never_changed(store):
    first, second = made_up()[0], made_up(metrics={"accuracy/random": 0.75})[0]
    store.put(first)
    store.put(second)
    assert store.get(first.run_key) == first


def test_a_failure_is_no_record_and_goes_when_the_run_is_finished(store):
    failure, record = made_up("failed", error="ValueError: no")[0], made_up()[0]
    store.put(failure)
    assert store.get(record.run_key) is None
    assert store.all([record.run_key]) == [failure]
    store.put(record)
    assert store.all([record.run_key]) == [record]
    assert not list(store.home.glob("failed/*/*.json"))


def changed(whole: bytes, **fields) -> bytes:
    return json.dumps({**json.loads(whole), **fields}).encode()


DAMAGE = {
    "empty": lambda whole: b"",
    "truncated": lambda whole: whole[: len(whole) // 2],
    "truncated by a byte": lambda whole: whole[:-1],
    "garbage": lambda whole: b"\x00\xff" * 100,
    "another file": lambda whole: b"{}",
    "a list": lambda whole: b"[]",
    "another version's": lambda whole: whole.replace(b'"format":2', b'"format":3'),
    "another run's": lambda whole: whole.replace(json.loads(whole)["run_key"].encode(), b"0" * 64),
    "without a configuration": lambda whole: changed(whole, configuration={}),
    "with another's training": lambda whole: changed(whole, configuration={"protocol": "2.0", "training": 3}),
    "without numbers": lambda whole: changed(whole, metrics=None),
    "with words for numbers": lambda whole: changed(whole, metrics={"accuracy/random": "much"}),
    "with a number as text": lambda whole: changed(whole, metrics={"accuracy/random": "0.9"}),
    "with true for a number": lambda whole: changed(whole, metrics={"accuracy/random": True}),
    "with an accuracy of 2": lambda whole: changed(whole, metrics={"accuracy/random": 2.0}),
    "with a negative flip rate": lambda whole: changed(whole, metrics={"flip_rate": -3.0}),
    "with another strength": lambda whole: changed(whole, strength=7.0),
    "with another seed": lambda whole: changed(whole, seed=5),
    "of a protocol that nobody knows": lambda whole: whole.replace(b'"protocol":"2.0"', b'"protocol":"9.9"'),
    "a failure": lambda whole: whole.replace(b'"status":"finished"', b'"status":"failed"'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_does_not_read_is_set_aside_under_its_name(store, damage, caplog):
    record, other = kept(store, made_up())[:2]
    path = store.path(record.run_key)
    path.write_bytes(damaged := DAMAGE[damage](path.read_bytes()))
    assert store.finished([record.run_key, other.run_key]) == {other.run_key: other}
    assert (store.home / "unreadable" / path.name).read_bytes() == damaged
    assert path.name in caplog.text
    assert "trained again" in caplog.text
    store.put(record)
    assert store.get(record.run_key) == record


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"0" * 10, b"0" * 65, b"Z" * 64, b"{}"])
@pytest.mark.parametrize("kind", ["failed", "draws"])
def test_what_lies_beside_the_records_may_be_damaged(store, kind, content):
    record = made_up()[0]
    store.put(made_up("failed", error="E")[0])
    kept(store, made_up()[1:])
    for path in (store.home / kind).glob("*/*"):
        path.write_bytes(content)
    assert store.failed([record.run_key]) == {} or kind == "draws"
    store.put(record)
    assert store.get(record.run_key) == record
    assert store.digest(record.dataset_key) == record.digest


def test_a_folder_in_the_place_of_a_record_is_set_aside(store, caplog):
    record = made_up()[0]
    store.path(record.run_key).mkdir(parents=True)
    assert store.get(record.run_key) is None
    assert "it is a folder" in caplog.text
    store.put(record)
    assert store.get(record.run_key) == record


@pytest.mark.parametrize("kind", ["", "records", "failed"])
def test_a_file_in_the_place_of_a_folder_is_named_with_the_way_out(store, kind):
    path = store.home / kind
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no folder")
    with pytest.raises(OSError, match=rf"results cannot be kept in {store.home}.*RRRBENCH_HOME"):
        store.require_writable()


def test_another_user_may_read_what_the_umask_lets_him(store):
    before = os.umask(0o022)
    try:
        store.put(made_up()[0])
    finally:
        os.umask(before)
    assert store.path(made_up()[0].run_key).stat().st_mode & 0o777 == 0o644


def test_a_full_disk_leaves_the_place_as_it_was(store, monkeypatch):
    record = made_up()[0]

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.put(record)
    assert store.get(record.run_key) is None
    assert not [path for path in store.home.rglob("*") if path.is_file()]


def test_the_record_is_written_last(store, monkeypatch):
    written, write_whole = [], records_module.write_whole

    def noting(path, content):
        written.append(path.relative_to(store.home).parts[0])
        write_whole(path, content)

    monkeypatch.setattr(records_module, "write_whole", noting)
    record = made_up()[0]
    store.put(record, {"weight": torch.ones(2)})
    assert written == ["models", "draws", "records"]
    assert torch.load(store.model_path(record.run_key), weights_only=True)["weight"].tolist() == [1, 1]


def test_many_threads_that_write_the_same_runs_leave_each_once(store):
    errors = []

    def write():
        try:
            kept(RecordStore(store.home), made_up())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(path.stem for path in store.home.glob("records/*/*")) == sorted(r.run_key for r in made_up())
