"""MLflow's sqlite file is whole, or it is not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from made_up import kept, made_up
from rrrbench.benchmark.store.database import create_database
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["p?q", *(pytest.param(name, marks=pytest.mark.slow) for name in ("plain", "a b", "100%", "h#sh"))]
)
def test_a_database_in_a_folder_of_any_name(tmp_path, name):
    folder = tmp_path / name
    store = RecordStore(folder)
    mirror = Mirror(f"sqlite:///{folder / 'mlflow.db'}", "tiny", store)
    assert not mirror.deliver(kept(store, made_up()))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    (run, *_) = mirror.search("tags.kind = 'run'")
    assert mirror.client.list_artifacts(run.info.run_id)


@pytest.mark.slow
def test_an_empty_file_is_no_database(tmp_path):
    (tmp_path / "mlflow.db").touch()
    store = RecordStore(tmp_path)
    assert not Mirror(f"sqlite:///{tmp_path / 'mlflow.db'}", "tiny", store).deliver(kept(store, made_up()))


@pytest.mark.slow
@pytest.mark.faults
def test_a_kill_while_it_is_made_leaves_none_that_is_half(tmp_path):
    path = tmp_path / "mlflow.db"
    code = "import sys, pathlib as p, rrrbench.benchmark.store.database as d; d.create_database(p.Path(sys.argv[1]))"
    for delay in (0.05, 0.2, 0.4, 0.8):  # after its folder is there
        maker = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while not list(tmp_path.glob(".mlflow-*")) and maker.poll() is None:
            time.sleep(0.01)
        time.sleep(delay)
        os.kill(maker.pid, signal.SIGKILL)
        maker.wait()
        for folder in tmp_path.glob(".mlflow-*"):
            folder.rename(tmp_path / f"left-{delay}")
    create_database(path)
    store = RecordStore(tmp_path / "home")
    assert not Mirror(f"sqlite:///{path}", "tiny", store).deliver(kept(store, made_up()))
    assert Path(path).stat().st_size
