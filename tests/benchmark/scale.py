"""What the harness costs without the training: suites of any size, and records as large as real ones, made up.

python tests/benchmark/scale.py 1000 10000
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import tomli_w
from rrrbench.benchmark.running.executors import Result
from rrrbench.benchmark.running.executors.executor import Executor
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.speed.made_up import content_of, made_up
from rrrbench.benchmark.suite.loading import load_suite
from tabulate import tabulate


def written(runs: int, folder: Path) -> Path:
    """The TOML file of a made-up suite of so many runs."""
    path = folder / "scale.toml"
    path.write_text(tomli_w.dumps(content_of(runs, seeds=5)))
    return path


class Untrained(Executor):
    """An executor that makes its results up."""

    name: ClassVar[str] = "untrained"

    def results(self, tasks, settings, progress) -> Iterator[tuple]:
        for task in tasks:
            yield task.stack, Result([made_up(task.stack, *place) for place in task.stack.places().values()])


def seconds_of(*words: str, folder: Path, uri: str) -> float:
    command = [Path(sys.executable).parent / "rrrbench", *words]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def measure(runs: int, uri: str, folder: Path) -> dict[str, float]:
    """Keeps and logs a suite of that many runs, and asks the commands for it."""
    path = written(runs, folder)
    suite = load_suite(str(path))
    assert len(suite.keys()) == runs
    begun = time.perf_counter()
    outcome = Session(suite, folder / "results" / "local", uri, executor=Untrained()).run()
    logging = time.perf_counter() - begun
    assert (outcome.trained, len(outcome.undelivered)) == (runs, 0)
    found = {
        "runs": runs,
        "harness, ms a run": 1000 * logging / runs,
        "database, MB": Path(uri.removeprefix("sqlite:///")).stat().st_size / 1e6,
        "records, MB": sum(file.stat().st_size for file in folder.glob("results/local/records/*/*")) / 1e6,
        "leaderboard, s": seconds_of("leaderboard", path.name, folder=folder, uri=uri),
        "records, s": seconds_of("records", path.name, "--out", "rows.csv", folder=folder, uri=uri),
        "run: leaderboard and picture, s": seconds_of("run", path.name, folder=folder, uri=uri),
        "run again, s": seconds_of("run", path.name, folder=folder, uri=uri),
    }
    assert len((folder / "rows.csv").read_text().splitlines()) == runs + 1
    return found


if __name__ == "__main__":
    columns = []
    for runs in map(int, sys.argv[1:]):
        with tempfile.TemporaryDirectory() as folder:
            columns.append(measure(runs, f"sqlite:///{folder}/mlflow.db", Path(folder)))
    names = list(columns[0])
    print(
        tabulate([[name, *(column[name] for column in columns)] for name in names], tablefmt="github", floatfmt=".1f")
    )
