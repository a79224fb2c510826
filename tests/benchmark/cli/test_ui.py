"""MLflow's page is started where the runs are, in one process, with a link to each suite's runs."""

from __future__ import annotations

import os

import pytest
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.store.experiment import Experiment
from typer.testing import CliRunner


@pytest.fixture
def started(monkeypatch):
    """What would be started: the words and the environment."""
    calls: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda program, words, env: calls.append((words, env)))
    return calls


@pytest.mark.long
def test_the_page_has_one_worker_no_jobs_and_a_link_a_suite(started, uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    experiment = Experiment(uri, "own")
    experiment.describe("what it is")
    result = CliRunner().invoke(app, ["ui", "--port", "5001"], catch_exceptions=False)
    runs = f"#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
    assert result.stdout == f"own: http://127.0.0.1:5001/{runs}\n"
    ((words, env),) = started
    assert words[1:4] == ["-m", "mlflow", "ui"]
    assert words[words.index("--workers") + 1] == "1"
    assert words[words.index("--backend-store-uri") + 1] == uri
    assert env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


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
