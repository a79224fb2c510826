"""Tracking as a team does it: `mlflow server` on PostgreSQL, many writers at once."""

from __future__ import annotations

import multiprocessing
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_server import Server, free_port
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.record import Record
from rrrbench.benchmark.store.records import RecordStore
from tiny import tiny_suite

WRITERS, RUNS = 8, 500


def programs() -> Path | None:
    """Where initdb and pg_ctl are: Debian keeps them off the PATH."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("pg_ctl")
    return next((f for f in folders if (f / "initdb").exists()), Path(found).parent if found else None)


def records(first: int, last: int) -> Iterator[Record]:
    stack = tiny_suite().stacks()[1]
    for seed in range(first, last):
        curves = {"right_answer": [1.0 / (epoch + 1) for epoch in range(5)]}
        metrics = {"accuracy/random": seed / RUNS, "seconds": 0.1}
        yield Record.for_run(stack, 0.1, seed, "finished", metrics=metrics, curves=curves, digest="0" * 64)


def write(uri: str, home: Path, number: int) -> None:
    """A share of the runs, and ten of the next writer's."""
    first, last = (round(edge * RUNS / WRITERS) for edge in (number, number + 1))
    mirror, share = Mirror(uri, "many", RecordStore(home)), list(records(first, min(RUNS, last + 10)))
    for start in range(0, len(share), 12):
        assert not mirror.deliver(share[start : start + 12])


@pytest.fixture
def database():
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    data, port = Path(tempfile.mkdtemp(prefix="rrrbench-pg-")), free_port()
    user = {"user": "nobody"} if os.geteuid() == 0 else {}  # initdb refuses root
    if user:
        os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
    options = f"-p {port} -h 127.0.0.1 -k {data}"
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": data, **user}
    subprocess.run([folder / "initdb", "-D", data / "db", "-A", "trust", "-U", "rrrbench"], **quiet)
    subprocess.run([folder / "pg_ctl", "-D", data / "db", "-o", options, "-l", data / "log", "-w", "start"], **quiet)
    yield f"postgresql://rrrbench@127.0.0.1:{port}/postgres"
    subprocess.run([folder / "pg_ctl", "-D", data / "db", "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(data)


@pytest.mark.slow
def test_eight_writers_on_postgresql_lose_nothing_and_write_nothing_twice(database, tmp_path):
    server = Server(tmp_path, database, workers=2)
    try:
        mirror = Mirror(server.uri, "many", RecordStore(tmp_path / "home"))
        mirror._parent(next(records(0, 1)))
        spawn = multiprocessing.get_context("spawn")
        writers = [
            spawn.Process(target=write, args=(server.uri, tmp_path / f"home {number}", number))
            for number in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [writer.exitcode for writer in writers] == [0] * WRITERS
        found = mirror.search("tags.kind = 'run'")
        assert {run.info.status for run in found} == {"FINISHED"}
        expected = sorted(record.run_key for record in records(0, RUNS))
        assert sorted(run.data.tags["run_key"] for run in found) == expected
        values = sorted(run.data.metrics["accuracy/random"] for run in found)
        assert values == [seed / RUNS for seed in range(RUNS)]
    finally:
        server.stop()
