"""What goes wrong around a sweep: a tracking server that goes away, a disk that is full."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlflow_server import Server, free_port
from rrrbench.benchmark.running.executors import Settings
from rrrbench.benchmark.running.executors.here import Here
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.suite.loading import load_suite
from tiny import tiny_suite

pytestmark = pytest.mark.slow
SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def server(uri, tmp_path):
    server = Server(tmp_path, uri)
    yield server
    server.stop()


@pytest.mark.faults
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

    def make(executor=None) -> Session:
        return Session(suite, tmp_path / "home", server.uri, Settings(engine="stacked"), executor)

    outcome = make(Disturbed()).run()
    assert (outcome.trained, outcome.failed) == (6, ())
    assert "does not answer" in str(outcome.undelivered)
    away[0].join()
    again = make()
    assert not again.run().undelivered
    assert len(again.mirror.search("tags.kind = 'run'")) == 6


@pytest.mark.parametrize("password", ["s3cr/et", "12/s3cr", "s3cr?et", "s3cr@1/et"])
def test_a_password_that_is_not_percent_encoded_is_one_line_and_the_table_is_printed(tmp_path, password):
    (tmp_path / "own.toml").write_text(SUITE.replace("HIDDEN", "4"))
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"http://bob:{password}@127.0.0.1:{free_port()}"}
    command = [SCRIPTS / "rrrbench", "run", "own.toml"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "3 of 3 runs recorded" in done.stdout
    assert "MLFLOW_TRACKING_URI" in done.stderr
    assert "percent-encode" in done.stderr
    assert not [part for part in ("s3cr", "bob") if part in done.stdout + done.stderr]


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:{port}", "http://u:s3cret@127.0.0.1:{port}", "postgresql://u:s3cret@127.0.0.1:{port}/db"]
)
def test_a_server_that_never_comes_is_one_line_and_the_table_is_printed(tmp_path, uri):
    (tmp_path / "own.toml").write_text(SUITE.replace("HIDDEN", "4"))
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri.format(port=free_port())}
    command = [SCRIPTS / "rrrbench", "run", "own.toml"]
    begin = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert time.monotonic() - begin < 90
    assert done.returncode == 1
    assert "3 of 3 runs recorded" in done.stdout
    assert "3 records of own.toml are not in MLflow (127.0.0.1:" in done.stderr
    assert "`rrrbench log own.toml` delivers them" in done.stderr
    assert "Traceback" not in done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    kept = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    assert not [path for path in kept if b"s3cret" in path.read_bytes()]

    delivered = [SCRIPTS / "rrrbench", "log", "own.toml", "--to", f"sqlite:///{tmp_path / 'there.db'}"]
    done = subprocess.run(delivered, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "3 records of own are in sqlite:" in done.stdout


def test_a_server_that_accepts_and_says_nothing_is_not_waited_for_long(tmp_path):
    (tmp_path / "own.toml").write_text(SUITE.replace("HIDDEN", "4"))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        uri = f"http://127.0.0.1:{mute.getsockname()[1]}"
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        command = [SCRIPTS / "rrrbench", "run", "own.toml"]
        begin = time.monotonic()
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert time.monotonic() - begin < 60
    assert done.returncode == 1
    assert "3 of 3 runs recorded" in done.stdout
    assert "are not in MLflow" in done.stderr


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


@pytest.mark.faults
def test_a_full_disk_for_artifacts_stops_with_a_reason_and_the_next_command_goes_on(uri, tmp_path):
    """No file may grow beyond 6 MiB: the state dict of a small network does not, that of RRR's large network does."""
    path = tmp_path / "large.toml"
    small, _ = SUITE.replace("HIDDEN", "8").split('[[sweeps.mitigations]]\nmitigation = "rrr"')
    large = SUITE.replace("HIDDEN", "2500").replace('mitigation = "erm"\n[[sweeps.mitigations]]\n', "")  # 7.5 MiB
    path.write_text(small + large[large.index("[[sweeps]]") :])
    suite = load_suite(str(path))
    command = [SCRIPTS / "rrrbench", "run", path]

    here = {"cwd": tmp_path, "env": {**os.environ, "MLFLOW_TRACKING_URI": uri}, "capture_output": True}

    def little_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 * MEGABYTE, resource.RLIM_INFINITY))

    full = subprocess.run(command, text=True, preexec_fn=little_disk, **here)
    assert full.returncode == 2
    assert "File too large" in full.stderr
    store = RecordStore(tmp_path / "results/local")
    assert [record.mitigation for record in store.all(suite.keys())] == ["erm"]

    subprocess.run(command, check=True, **here)
    assert [record.run_key for record in store.all(suite.keys())] == suite.keys()
