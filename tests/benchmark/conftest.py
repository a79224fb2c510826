from __future__ import annotations

import shutil

import pytest
from rrrbench.benchmark.executors import Settings
from rrrbench.benchmark.session import Session
from rrrbench.benchmark.suite import parse_suite
from rrrbench.benchmark.tracking import Tracker


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory):
    """Creating MLflow's tables takes seconds, so it is done once, and the file is copied."""
    path = tmp_path_factory.mktemp("mlflow") / "fresh.db"
    Tracker(f"sqlite:///{path}", "unused").client.search_experiments()
    return path


@pytest.fixture
def uri(fresh_database, tmp_path):
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def tiny_suite(name="tiny", epochs=2, seeds=(0, 1), **changes):
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": {"name": "mlp", "hidden": [8]},
        "training": {"epochs": epochs, "batch_size": 128},
        "mitigations": [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1, 1.0]}],
    }
    return parse_suite({"name": name, "seeds": list(seeds), "sweeps": [{**sweep, **changes}]}, "tiny")


@pytest.fixture
def session(uri, tmp_path):
    def make(suite=None, local=tmp_path / "local") -> Session:
        return Session(suite or tiny_suite(), uri, Settings(engine="stacked"), local)

    return make
