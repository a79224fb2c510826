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

import numpy as np
from rrrbench.benchmark.running.executors import Result
from rrrbench.benchmark.running.executors.executor import Executor
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.store.record import Record
from rrrbench.benchmark.suite.loading import load_suite
from tabulate import tabulate

SWEEP = """
[[sweeps]]
dataset = {{ name = "decoy", base = "digits" }}
network = {{ name = "mlp", hidden = [{width}] }}
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0]
"""
RUNS_A_SWEEP = 50  # (erm + 9 strengths) x 5 seeds
EPOCHS = 10
CURVES = ("right_answer", "right_reason", "accuracy/validation")
METRICS = (
    "flip_rate", "follow_rate", "aligned_conflict_gap", "accuracy/validation_swap", "empty_masks",
    "seconds", "seconds/setup",
    *(f"{m}/{e}" for m in ("accuracy", "worst_class_accuracy")
      for e in ("aligned", "random", "conflict", "reversed", "clean")),
    *(f"{m}/{e}" for m in ("unattributed", "mass_abs", "mass_abs_over_chance", "pointing_game_abs",
                           "rank_accuracy_abs", "rule_score_abs", "wrong_reason_pos")
      for e in ("input_gradient", "input_gradient_predicted", "integrated_gradients")),
)  # fmt: skip


def suite_of(runs: int, folder: Path) -> Path:
    path = folder / "scale.toml"
    sweeps = "".join(SWEEP.format(width=width) for width in range(1, runs // RUNS_A_SWEEP + 1))
    path.write_text(f"seeds = [0, 1, 2, 3, 4]\n{sweeps}")
    return path


class Untrained(Executor):
    """An executor that makes its results up."""

    name: ClassVar[str] = "untrained"

    def results(self, tasks, settings, progress) -> Iterator[tuple]:
        for task in tasks:
            yield task.stack, Result([made_up(task.stack, *place) for place in task.stack.places().values()])


def made_up(stack, strength, seed) -> Record:
    rng = np.random.default_rng([seed, int(1e6 * strength)])
    curves = {name: rng.random(EPOCHS).tolist() for name in CURVES}
    metrics = dict(zip(METRICS, rng.random(len(METRICS)).tolist(), strict=True))
    last = {name: curve[-1] for name, curve in curves.items()}
    digest = f"{seed:064x}"
    return Record.for_run(stack, strength, seed, "finished", metrics=metrics | last, curves=curves, digest=digest)


def seconds_of(*words: str, folder: Path, uri: str) -> float:
    command = [Path(sys.executable).parent / "rrrbench", *words]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    begun = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def measure(runs: int, uri: str, folder: Path) -> dict[str, float]:
    """Keeps and logs a suite of that many runs, and asks the commands for it."""
    path = suite_of(runs, folder)
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
