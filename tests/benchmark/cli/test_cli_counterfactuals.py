"""A suite of counterfactual explainers by the ordinary commands, on a classifier that needs no training."""

import io

import pandas as pd
import pytest
from letters import Ink
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.running.executors import explaining
from typer.testing import CliRunner

SUITE = """
description = "Two explainers."
seeds = [0, 1]
[[counterfactuals]]
dataset = [{ inputs = 6 }, { inputs = 6, breadth = 6 }]
network = "lenet"
explainers = ["dummy", "is"]
"""


@pytest.fixture
def invoke(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(explaining, "trained", lambda *_: Ink())
    explaining._subject.cache_clear()
    (tmp_path / "own.toml").write_text(SUITE)
    yield lambda *arguments: CliRunner().invoke(app, arguments, catch_exceptions=False)
    explaining._subject.cache_clear()


@pytest.mark.slow
def test_run_records_and_leaderboard(invoke):
    outcome = invoke("run", "own.toml", "--device", "cpu")
    assert outcome.exit_code == 0, outcome.output
    assert "glyphs[breadth=6,inputs=6], lenet: the classifier is right on" in outcome.stdout
    assert invoke("leaderboard", "own.toml").stdout.strip() in outcome.stdout
    rows = pd.read_csv(io.StringIO(invoke("records", "own.toml").stdout))
    assert list(rows["mitigation"]) == ["dummy", "dummy", "is", "is"] * 2
    assert rows["success"].notna().all()
    board = pd.read_csv(io.StringIO(invoke("leaderboard", "own.toml", "--format", "csv").stdout))
    assert list(board["explainer"]) == ["is", "dummy"] * 2
    refused = invoke("report", "own.toml", "--out", "site")
    assert refused.exit_code == 2
    assert "rrrbench leaderboard own" in refused.output


@pytest.mark.long
def test_the_track_is_listed_among_the_suites(invoke):
    assert "counterfactuals" in invoke("list", "suites").stdout
