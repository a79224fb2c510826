"""`rrrbench ui`: MLflow's own page, and the links to each suite's runs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Annotated

import typer

from ..store.addresses import shown
from ..store.home import home
from ..store.server import client_uri, is_sqlite, sqlite_path, tracking_uri
from .errors import explained

HOST = "127.0.0.1"
PAUSE, PATIENCE = 0.2, 5.0
"""Seconds between two questions whether the page answers, and until a question is given up."""
RUNS = "#/experiments/{id}/runs?workflowType=machine_learning&viewStateShareKey=runs"
"""An experiment's runs, the most accurate first: the view that `store.experiment` writes."""
ONE_PROCESS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""Without MLflow's jobs for language models, which start processes of their own."""


def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Of this machine.")] = 5000) -> None:
    """Starts MLflow's page on the folder of results, on this machine alone, and prints a link to each suite's runs.

    The links are printed once the page answers; what MLflow says is in mlflow-ui.log, beside the database. Ctrl-C ends
    it. With MLFLOW_TRACKING_URI the page is that server's, and nothing is started.
    """
    with explained():
        uri = tracking_uri(home())
        if not is_sqlite(uri):
            typer.echo(f"{shown(uri)} has a page of its own: the link in an experiment's description shows its runs")
            return
        database = sqlite_path(uri)
        links = dict(_links(database, port))
        _require_free(port)
        log = database.with_name("mlflow-ui.log")
        typer.echo(f"starting MLflow's page; what it says is in {log}", err=True)
        with _started(client_uri(uri), port, log) as server:
            while not _answers(port):
                _require_running(server, log)
                time.sleep(PAUSE)
            _require_running(server, log)  # else it was another server that answered
            for suite, link in links.items():
                typer.echo(f"{suite}: {link}")
            sys.stdout.flush()
            server.wait()
            _require_running(server, log)


def _require_free(port: int) -> None:
    """Looks whether the port can be had.

    Raises:
        ValueError: another program has it, or this user may not have it.
    """
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server: a port that was just left is free
        try:
            tried.bind((HOST, port))
        except OSError as error:
            way_out = "is the page open already? else choose another with --port"
            raise ValueError(f"port {port} cannot be had ({os.strerror(error.errno or 0)}): {way_out}") from error


@contextmanager
def _started(database: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server, which ends, with the processes that it started, when the block ends."""
    words = ["mlflow", "ui", "--backend-store-uri", database, "--workers", "1", "--host", HOST, "--port", str(port)]
    with log.open("wb") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # a group of processes that can be ended together
            env={**os.environ, **ONE_PROCESS},
        )
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
        signal.signal(signal.SIGTERM, before)


def _require_running(server: subprocess.Popen[bytes], log: Path) -> None:
    """Looks whether the server runs.

    Raises:
        ChildProcessError: it has ended.
    """
    if (status := server.poll()) is not None:
        last = next(
            (line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()), "nothing"
        )
        raise ChildProcessError(f"MLflow's page ended with status {status}; its last words: {last}; all are in {log}")


def _answers(port: int) -> bool:
    """Whether MLflow's server says that it is well. Asked without a proxy, which would not find this machine."""
    asked = HTTPConnection(HOST, port, timeout=PATIENCE)
    try:
        asked.request("GET", "/health")
        return asked.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        asked.close()


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
        yield str(name), f"http://{HOST}:{port}/{RUNS.format(id=experiment)}"
