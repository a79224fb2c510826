"""`rrrbench ui`: MLflow's own page, and the links to each suite's runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ..store.addresses import shown
from ..store.home import home
from ..store.server import client_uri, is_sqlite, sqlite_path, tracking_uri
from .errors import explained

RUNS = "#/experiments/{id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
"""An experiment's runs, the most accurate first: the view that `store.experiment` writes."""
ONE_PROCESS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without MLflow's jobs for language models, which start processes of their own."""


def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine.")] = 5000) -> None:
    """Starts MLflow's page on the folder of results, on this machine alone, and prints a link to each suite's runs.

    With MLFLOW_TRACKING_URI the page is that server's, and nothing is started.
    """
    with explained():
        uri = tracking_uri(home())
        if not is_sqlite(uri):
            typer.echo(f"{shown(uri)} has a page of its own: the link in an experiment's description shows its runs")
            return
        database = sqlite_path(uri)
        links = dict(_links(database, port))
        for suite, link in links.items():
            typer.echo(f"{suite}: {link}")
        sys.stdout.flush()
        words = ["mlflow", "ui", "--backend-store-uri", client_uri(uri), "--workers", "1", "--port", str(port)]
        os.execve(sys.executable, [sys.executable, "-m", *words], {**os.environ, **ONE_PROCESS})


def _links(database: Path, port: int) -> Iterator[tuple[str, str]]:
    """The address of each experiment's runs, by the suite's name.

    Raises:
        FileNotFoundError: there is no database.
        ValueError: the file is no database of MLflow.
    """
    import sqlite3

    if not database.is_file():
        raise FileNotFoundError(f"there is no {database}: `rrrbench run SUITE` makes it, RRRBENCH_HOME names a folder")
    query = "SELECT name, experiment_id FROM experiments WHERE lifecycle_stage = 'active' AND name != 'Default'"
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(f"{query} ORDER BY name").fetchall()
    except sqlite3.Error as error:
        raise ValueError(f"{database} is no database of MLflow ({error}): move it away, and `rrrbench log`") from error
    for name, experiment in found:
        yield str(name), f"http://127.0.0.1:{port}/{RUNS.format(id=experiment)}"
