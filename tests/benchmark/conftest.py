from __future__ import annotations

import shutil

import pytest
from rrrbench.benchmark.running.executors import Settings
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.store.database import create_database
from tiny import tiny_suite


@pytest.fixture(scope="session")
def fresh_database(tmp_path_factory):
    """Creating MLflow's tables takes seconds, so they are made once, and the file is copied."""
    path = tmp_path_factory.mktemp("mlflow") / "fresh.db"
    create_database(path)
    return path


@pytest.fixture
def uri(fresh_database, tmp_path):
    shutil.copy(fresh_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


@pytest.fixture
def session(uri, tmp_path):
    def make(suite=None, home=tmp_path / "home", settings=Settings(engine="stacked"), **options) -> Session:  # noqa: B008
        return Session(suite or tiny_suite(), home, uri, settings, **options)

    return make
