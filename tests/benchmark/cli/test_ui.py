"""MLflow's page is started where the runs are, in one process, with a link to each suite's runs once it answers."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from mlflow_server import free_port
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.store.experiment import Experiment
from typer.testing import CliRunner

SERVER = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(200 if self.path == "/health" and self.server.asked > 2 else 503)
        self.end_headers()

server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
server.asked = 0
while server.asked < 3:
    server.handle_request()
sys.exit("answered " + str(server.asked))
"""
"""A server that is well when it is asked for the third time, and then ends."""
DEAD = "import sys; sys.exit('no such table: experiments')"


@pytest.fixture
def started(monkeypatch):
    """What would be started, the words and the environment; a list whose program is started in its place."""
    calls, popen = Calls(), subprocess.Popen

    def start(words, **options):
        calls.append((words, options["env"]))
        return popen([sys.executable, "-c", calls.program, words[-1]], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    return calls


class Calls(list):
    program = SERVER


@pytest.fixture
def experiment(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    experiment = Experiment(uri, "own")
    experiment.describe("what it is")
    return experiment


@pytest.mark.long
def test_the_page_has_one_worker_no_jobs_and_a_link_a_suite_when_it_answers(started, uri, experiment, tmp_path):
    port = str(free_port())
    result = CliRunner().invoke(app, ["ui", "--port", port])
    runs = f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
    assert result.stdout == f"own: http://127.0.0.1:{port}/{runs}\n"
    assert f"its last words: answered 3; all are in {tmp_path / 'mlflow-ui.log'}" in result.stderr
    ((words, env),) = started
    assert words[1:4] == ["-m", "mlflow", "ui"]
    assert words[words.index("--workers") + 1] == "1"
    assert words[words.index("--backend-store-uri") + 1] == uri
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


@pytest.mark.long
def test_a_server_that_dies_before_it_answers_has_no_link_and_an_error_that_names_its_log(
    started, experiment, tmp_path
):
    started.program = DEAD
    result = CliRunner().invoke(app, ["ui", "--port", str(free_port())])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: MLflow's page ended with status 1; its last words: no such table: experiments" in result.stderr
    assert f"all are in {tmp_path / 'mlflow-ui.log'}" in result.stderr


@pytest.mark.long
def test_a_port_that_another_program_has_is_named_before_anything_is_started(started, experiment):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = CliRunner().invoke(app, ["ui", "--port", str(port)])
    assert (result.exit_code, result.stdout, started) == (2, "", [])
    assert f"port {port} cannot be had (Address already in use): is the page open already?" in result.stderr
    assert "choose another with --port" in result.stderr


@pytest.mark.slow
def test_mlflows_own_server_answers_when_its_link_is_printed_and_ends_with_the_command(experiment, tmp_path):
    port = free_port()
    command = [Path(sys.executable).parent / "rrrbench", "ui", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        assert page.stdout.readline().startswith(f"own: http://127.0.0.1:{port}/#/experiments/")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            assert "<title>MLflow" in answer.read().decode()
        page.terminate()
        assert page.wait(60) == 128 + signal.SIGTERM
    with socket.socket() as tried:
        assert tried.connect_ex(("127.0.0.1", port)), "nothing listens any more"


def test_where_there_is_no_run_or_no_database_it_is_said(started, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path))
    nothing = CliRunner().invoke(app, ["ui"])
    assert (nothing.exit_code, "`rrrbench run SUITE` makes it" in nothing.stderr) == (2, True)
    (tmp_path / "mlflow.db").write_text("garbage" * 1000)
    garbage = CliRunner().invoke(app, ["ui"])
    assert (garbage.exit_code, "is no database of MLflow" in garbage.stderr) == (2, True)
    assert started == []


def test_a_server_has_a_page_of_its_own(started, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://u:s3cret@tracking.example")
    result = CliRunner().invoke(app, ["ui"])
    assert "http://tracking.example has a page of its own" in result.stdout
    assert "s3cret" not in result.output
    assert started == []
