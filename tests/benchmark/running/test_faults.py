"""What goes wrong around a sweep: a tracking server that goes away, a disk that is full."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow_server import Server
from rrrbench.benchmark.running.executors import Settings
from rrrbench.benchmark.running.executors.here import Here
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.suite.loading import load_suite
from tiny import tiny_suite

pytestmark = pytest.mark.slow
SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def server(uri, tmp_path):
    server = Server(tmp_path, uri)
    yield server
    server.stop()


def test_a_server_that_goes_away_for_20_seconds_loses_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    suite = tiny_suite(
        mitigations=[{"mitigation": "erm"}, *({"mitigation": "rrr", "strengths": [s]} for s in (0.1, 1))]
    )
    away: list[threading.Thread] = []

    def leave_for_20_seconds() -> None:
        server.stop()
        time.sleep(20)
        server.start()

    class Disturbed(Here):
        def results(self, tasks, settings, progress):
            for stack, result in super().results(tasks, settings, progress):
                yield stack, result
                if not away:  # the first stack is logged, the others are not
                    away.append(threading.Thread(target=leave_for_20_seconds))
                    away[0].start()

    session = Session(suite, server.uri, Settings(engine="stacked"), tmp_path / "local", Disturbed())
    outcome = session.run()
    away[0].join()
    assert (outcome.trained, outcome.failed, outcome.undelivered) == (6, (), "")
    rows = session.tracker.records(suite.keys())
    assert list(rows.run_key) == suite.keys()
    assert set(rows.status) == {"finished"}
    assert len(session.tracker._search("tags.kind = 'run'", limit=None)) == 6


SUITE = """
seeds = [0]
save_models = true
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "mlp", hidden = [HIDDEN] }
training = { epochs = 1, batch_size = 256 }
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.1, 1.0]
"""
MEGABYTE = 2**20


def test_a_full_disk_for_artifacts_stops_with_a_reason_and_the_next_command_goes_on(uri, tmp_path):
    """No file may grow beyond 12 MiB: the state dicts of ERM's one run do not, those of RRR's two do."""
    path = tmp_path / "large.toml"
    path.write_text(SUITE.replace("HIDDEN", "2500"))  # 784 x 2500 float32: 7.5 MiB a run
    suite = load_suite(str(path))
    command = [SCRIPTS / "rrrbench", "run", path]

    here = {"cwd": tmp_path, "env": {**os.environ, "MLFLOW_TRACKING_URI": uri}, "capture_output": True}

    def little_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (12 * MEGABYTE, resource.RLIM_INFINITY))

    full = subprocess.run(command, text=True, preexec_fn=little_disk, **here)
    assert full.returncode == 2
    assert "File too large" in full.stderr
    tracker = Session(suite, uri, local=tmp_path / "results" / "local").tracker
    assert list(tracker.records(suite.keys()).mitigation) == ["erm"]

    subprocess.run(command, check=True, **here)
    assert list(tracker.records(suite.keys()).run_key) == suite.keys()
