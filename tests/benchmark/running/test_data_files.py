"""Finished runs are of the files that are there, or the session says which are not."""

from __future__ import annotations

import os
import re
import shutil
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from _pytest.outcomes import Failed
from rrrbench.benchmark.report.conclusion import deliver
from rrrbench.benchmark.report.recorded import records_of
from rrrbench.benchmark.running.data_files import DataFiles, ReplacedFile
from rrrbench.benchmark.running.executors import here
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.datasets.planted import Planted
from rrrbench.datasets.recipe import Recipe
from tiny import tiny_suite

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path):
    """Writes a base of 60 + 20 images, drawn with a seed."""

    def write(seed=0, name="mine", savez=np.savez, **replaced):
        rng = np.random.default_rng(seed)
        arrays = {f"x_{part}": rng.integers(0, 256, (n, 12, 12), np.uint8) for part, n in (("train", 60), ("test", 20))}
        labels = {f"y_{part}": np.arange(n) % 4 for part, n in (("train", 60), ("test", 20))}
        savez(tmp_path / f"{name}.npz", **(arrays | labels | replaced))
        return tmp_path / f"{name}.npz"

    return write


def suite(path, seeds=(0,), **changes):
    dataset = {"name": "decoy", "base": f"npz:{path}"}
    training = {"epochs": 1, "batch_size": 32}
    return tiny_suite(seeds=seeds, **{"dataset": dataset, "training": training} | changes)


def replaced_bytes(data, path):
    data(seed=1)


def replaced_by_rename(data, path):
    os.replace(data(seed=1, name="other"), path)


def replaced_with_its_old_time(data, path):
    before = path.stat()
    data(seed=1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replaced_by_a_link(data, path):
    other = data(seed=1, name="other")
    path.unlink()
    path.symlink_to(other)


def relabelled(data, path):
    data(y_train=(np.arange(60) + 1) % 4)


def another_test_image(data, path):
    data(x_test=np.random.default_rng(2).integers(0, 256, (20, 12, 12), np.uint8))


def fewer_inputs(data, path):
    data(x_train=np.random.default_rng(2).integers(0, 256, (50, 12, 12), np.uint8), y_train=np.arange(50) % 4)


REPLACED = [replaced_bytes, replaced_by_rename, replaced_with_its_old_time, replaced_by_a_link, relabelled,
            another_test_image, fewer_inputs]  # fmt: skip


@pytest.mark.parametrize("replace", REPLACED)
def test_a_replaced_file_is_noticed_although_every_run_is_finished(session, data, replace):
    path = data()
    assert session(suite(path)).run().trained == 3
    replace(data, path)
    with pytest.raises(
        ReplacedFile, match=r"mine\.npz: the content has changed.*older content: 3:\n.*erm.*\n.*rrr"
    ) as error:
        session(suite(path)).run()
    assert "put the older file back" in str(error.value)
    assert "RRRBENCH_HOME" in str(error.value)
    with pytest.raises(ReplacedFile, match=r"mine\.npz: the content has changed.*older content: 3:") as foretold:
        session(suite(path)).forecast()
    assert str(foretold.value) == str(error.value)


def test_the_older_file_put_back_is_finished_again(session, data):
    path = data()
    session(suite(path)).run()
    data(seed=1)
    with pytest.raises(ReplacedFile):
        session(suite(path)).run()
    data(seed=0)
    assert session(suite(path)).run().trained == 0


@pytest.fixture
def undrawn(monkeypatch):
    """No base is rendered any more."""
    return lambda: monkeypatch.setattr(Planted, "render", lambda *_: pytest.fail("drew the data"))


def touched(data, path):
    os.utime(path)


def copied(data, path):
    shutil.copy(path, path.with_suffix(".copy"))
    os.replace(path.with_suffix(".copy"), path)


def untouched(data, path):
    pass


@pytest.mark.parametrize("change", [untouched, touched, copied])
def test_an_equal_file_costs_no_draw(session, data, undrawn, change):
    path = data()
    session(suite(path, seeds=(0, 1))).run()
    undrawn()
    change(data, path)
    assert session(suite(path, seeds=(0, 1))).run().trained == 0
    assert session(suite(path, seeds=(0, 1))).run().files is not None


@pytest.mark.parametrize("change", [untouched, touched, copied])
def test_a_forecast_of_an_equal_file_writes_nothing(session, data, undrawn, change):
    path = data()
    one = session(suite(path))
    one.run()
    undrawn()
    change(data, path)
    notes = {note: note.read_bytes() for note in one.store.home.glob("files/*/*.json")}
    assert session(suite(path)).forecast().finished == 3
    assert {note: note.read_bytes() for note in one.store.home.glob("files/*/*.json")} == notes


@pytest.fixture
def shown(session, data, monkeypatch, caplog):
    """Shows the records of a suite that was run, and gives the warnings."""
    path = data()
    one = session(suite(path))
    one.run()
    monkeypatch.setenv("RRRBENCH_HOME", str(one.store.home))

    def show(change):
        change(data, path)
        assert len(records_of(suite(path), "tiny")) == 3
        return caplog.messages

    return show


@pytest.mark.parametrize("replace", [replaced_bytes, replaced_with_its_old_time])
def test_records_of_an_older_file_are_shown_with_a_warning(shown, replace):
    (warning,) = shown(replace)
    assert re.search(r"mine\.npz: the content has changed.*older content: 3:\n.*erm.*\n.*rrr", warning)
    assert "shown as they were recorded, and `rrrbench run` refuses the file: put the older file back" in warning


def test_delivered_records_of_an_older_file_are_delivered_with_a_warning(session, data, caplog):
    path = data()
    one = session(suite(path))
    one.run()
    replaced_bytes(data, path)
    uri = f"sqlite:///{one.store.home / 'mlflow.db'}"
    said, undelivered, _ = deliver(suite(path), "tiny", one.store.home, uri)
    assert "3 records" in said
    assert not undelivered
    assert "mine.npz: the content has changed" in caplog.messages[0]


def test_records_of_a_file_that_no_longer_reads_are_shown_with_a_warning(shown):
    (warning,) = shown(lambda data, path: path.write_bytes(b"no archive"))
    assert re.search(r"cannot be compared with their data files.*mine\.npz is no npz", warning)


@pytest.mark.parametrize("change", [untouched, touched, copied, lambda data, path: path.unlink()])
def test_records_of_an_equal_or_an_absent_file_are_shown_without_a_word(shown, undrawn, change):
    undrawn()
    assert shown(change) == []


def test_an_untouched_file_is_not_even_read(session, data, monkeypatch):
    path = data()
    session(suite(path)).run()
    monkeypatch.setattr(Recipe, "content", lambda *_: pytest.fail("read the file"))
    assert session(suite(path)).run().trained == 0


def test_the_same_arrays_compressed_are_the_same_data(session, data):
    path = data()
    session(suite(path)).run()
    data(savez=np.savez_compressed)
    assert session(suite(path)).run().trained == 0


def test_a_note_that_is_lost_or_damaged_is_made_again(session, data):
    path = data()
    one = session(suite(path))
    one.run()
    (note,) = one.store.home.glob("files/*/*.json")
    content = note.read_bytes()
    for damaged in (b"", b"null", b"[1]", content[:-5]):
        note.write_bytes(damaged)
        assert session(suite(path)).run().trained == 0
        assert note.read_bytes() == content
    note.unlink()
    data(seed=1)
    with pytest.raises(ReplacedFile):
        session(suite(path)).run()


def test_only_the_runs_of_the_older_file_are_listed(session, data):
    path, other = data(), data(seed=5, name="second")
    both = [{"name": "decoy", "base": f"npz:{file}"} for file in (path, other)]
    session(suite(path, dataset=both)).run()
    data(seed=1)
    with pytest.raises(ReplacedFile, match="older content: 3:") as error:
        session(suite(path, dataset=both)).run()
    assert "second" not in str(error.value)


def test_other_seeds_on_the_new_file_do_not_hide_the_older_runs(session, data):
    path = data()
    session(suite(path, seeds=(0,))).run()
    data(seed=1)
    session(suite(path, seeds=(1,))).run()
    with pytest.raises(ReplacedFile, match="seed 0") as error:
        session(suite(path, seeds=(0, 1))).run()
    assert "seed 1" not in str(error.value)
    with pytest.raises(ReplacedFile):
        session(suite(path, seeds=(0,))).run()


def test_a_file_that_is_replaced_while_runs_train_is_noticed_before_the_end(session, data, monkeypatch):
    path, trained = data(), here.run_stack
    controlled = suite(path, controls=[10])  # data of their own: other masks

    def train_then_replace(*arguments):
        result = trained(*arguments)
        data(seed=1)
        return result

    monkeypatch.setattr(here, "run_stack", train_then_replace)
    with pytest.raises(ValueError, match=r"mine\.npz|differs from the data of finished runs"):
        session(controlled).run()


def test_a_file_that_is_gone_leaves_finished_runs_finished(session, data):
    path = data()
    session(suite(path)).run()
    path.unlink()
    assert session(suite(path)).run().trained == 0


@pytest.mark.usefixtures("shapes_unchecked")
def test_data_of_which_a_file_is_gone_are_not_drawn_again(tmp_path):
    class OfTwoFiles(Recipe):
        name: ClassVar[str] = "of_two_files"

        def files(self):
            return tuple(sorted(tmp_path.glob("*.idx")))

        def render(self, seed):
            pytest.fail("drew the data")

    for name in ("images", "labels"):
        (tmp_path / f"{name}.idx").write_text(name)
    files, record = DataFiles(RecordStore(tmp_path), []), SimpleNamespace(digest="recorded", dataset_key="draw")
    files.draws = {(OfTwoFiles(), 0): "draw"}
    files.at_first = files._now()
    files.note(OfTwoFiles(), [record])
    (tmp_path / "labels.idx").unlink()
    files.check([record])
    (tmp_path / "labels.idx").write_text("others")
    with pytest.raises(Failed, match="drew the data"):
        files.check([record])
