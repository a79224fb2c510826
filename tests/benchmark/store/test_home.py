from __future__ import annotations

import pytest
from rrrbench.benchmark.store.home import home, results, tell_of_version_0_1


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("RRRBENCH_HOME", raising=False)
    (tmp_path / "project/results/local").mkdir(parents=True)
    (tmp_path / "project/deep/down").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "project"


def test_the_nearest_folder_of_results_upwards(project, monkeypatch):
    monkeypatch.chdir(project / "deep/down")
    assert home() == project / "results/local"
    assert results() == project / "results"


def test_without_one_it_is_made_here(tmp_path):
    assert home() == tmp_path / "results/local"


def test_the_environment_names_another(project, tmp_path, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "elsewhere"))
    assert home() == results() == tmp_path / "elsewhere"
    monkeypatch.setenv("RRRBENCH_HOME", "relative")
    assert home() == project / "relative"


def test_a_folder_of_version_0_1_is_told_so(project, caplog):
    tell_of_version_0_1(project / "results/local")
    assert not caplog.text
    (project / "results/local/outbox").mkdir()
    tell_of_version_0_1(project / "results/local")
    assert "rrrbench 0.1" in caplog.text
    assert f"Move {project / 'results/local/outbox'} away" in caplog.text
