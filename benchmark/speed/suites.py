"""Whole commands: a finished suite, the harness around the training, and the same trainings in plain loops."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import tomli_w
import torch

from .. import suites
from ..suite.loading import load_suite
from ..suite.stack import MitigationStack
from ..suite.sweep import Suite
from .plain import plain_loop
from .table import Figure
from .timing import ROUNDS, seconds

SUITE, EPOCHS = "decoy-mnist", 6
"""The suite is run with a tenth of its epochs, to take a minute; what depends on epochs is scaled."""
LENETS = """
seeds = [0, 1, 2]

[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "lenet" }
training = { epochs = 12, batch_size = 64 }

[[sweeps.mitigations]]
mitigation = "erm"

[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.01, 0.1, 1.0]
"""
WORKERS, STEPS = 2, 200
"""Of the plain loops: processes with one thread each, and the steps of each that are timed."""


def suite_figures() -> Iterator[Figure]:
    """A finished suite; and where its data are, what `SUITE` takes."""
    with tempfile.TemporaryDirectory() as folder:
        _run("smoke", folder)
        yield Figure("finished suite run again", "at most", 5, [_run("smoke", folder) for _ in range(ROUNDS)], " s")
    yield from _of_convolutions()
    if (Path(os.environ.get("RRRBENCH_DATA", "")) / "MNIST").is_dir():
        yield from _whole_suite()


def _whole_suite() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        path = _shortened(Path(folder))
        suite, times = load_suite(str(path)), load_suite(SUITE).sweeps[0].training.epochs / EPOCHS
        here = _run(str(path), folder, "--executor", "here", home="here")
        training, setup = _training_seconds(str(path), folder, home="here")
    plain, harness = plain_seconds(suite), here - training - setup
    whole = here + (times - 1) * training
    yield Figure(
        f"{SUITE} suite, plain loops in {WORKERS} processes / rrrbench run", "at least", 2.5, [times * plain / whole],
        note=f"once, scaled from {EPOCHS} epochs: {times * plain:.0f} s against {whole:.0f} s in this process; "
        f"with {EPOCHS} epochs {plain:.0f} s against {here:.0f} s",
    )  # fmt: skip
    yield Figure(
        f"harness / training time, {SUITE} suite", "at most", 10, [100 * harness / (times * training)], " %",
        f"once, scaled from {EPOCHS} epochs: {harness:.0f} s harness, {times * training:.0f} s training, "
        f"{setup:.0f} s tracing and compiling",
    )  # fmt: skip
    yield Figure(
        f"harness, tracing and compiling / training time, {SUITE} suite", "at most", 15,
        [100 * (harness + setup) / (times * training)], " %", "once, of the same run",
    )  # fmt: skip


def _of_convolutions() -> Iterator[Figure]:
    """What the default executor makes of a suite that does not stack on a CPU."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lenets.toml"
        path.write_text(LENETS)
        here, auto = (_run(str(path), folder, "--executor", name, home=name) for name in ("here", "auto"))
    yield Figure(
        "suite of 12 lenets on digits, executor here / auto", "at least", 1, [here / auto],
        note=f"once; {here:.0f} s and {auto:.0f} s",
    )  # fmt: skip


def plain_seconds(suite: Suite) -> float:
    """What a suite's runs take in plain loops, shared by processes with one thread each; no evaluation, no import.

    Steps are timed in all processes at once, and scaled to all steps.
    """
    stacks = [stack for stack in suite.stacks() if isinstance(stack, MitigationStack)]
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as workers:
        list(workers.map(_step_seconds, stacks[:1] * WORKERS))  # to begin with: the processes import torch
        return sum(_steps(stack) * max(workers.map(_step_seconds, [stack] * WORKERS)) / WORKERS for stack in stacks)


def _steps(stack: MitigationStack) -> int:
    """Steps of all runs."""
    inputs = len(stack.dataset.make(stack.seeds[0]).train)
    return len(stack) * stack.training.epochs * math.ceil(inputs / stack.training.batch_size)


def _step_seconds(stack: MitigationStack) -> float:
    """In a process: a step of ERM, or of RRR."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    draw = stack.dataset.make(stack.seeds[0])
    strength = 1.0 if stack.mitigation.has_strength else None
    step = plain_loop(stack.network, draw, stack.training.batch_size, strength)
    seconds(step, STEPS // 10)
    return seconds(step, STEPS) / STEPS


def _shortened(folder: Path) -> Path:
    """The suite's file, with fewer epochs."""
    content = tomllib.loads(suites.path_of(SUITE).read_text(encoding="utf-8"))
    for sweep in content["sweeps"]:
        sweep["training"]["epochs"] = EPOCHS
    path = folder / f"{SUITE}-{EPOCHS}-epochs.toml"
    path.write_text(tomli_w.dumps(content))
    return path


def _run(suite: str, folder: str, *options: str, home: str = "home") -> float:
    """Wall seconds of `rrrbench run`, with records in the folder."""
    start = time.perf_counter()
    command = [_command(), "run", suite, *options]
    subprocess.run(command, cwd=folder, env=_environment(folder, home), check=True, capture_output=True)
    return time.perf_counter() - start


def _training_seconds(suite: str, folder: str, home: str) -> tuple[float, float]:
    """What the suite's runs say that they took: to train, and to be traced, tried and compiled before."""
    command = [_command(), "records", suite]
    rows = subprocess.run(
        command, cwd=folder, env=_environment(folder, home), check=True, capture_output=True, text=True
    ).stdout
    took = pd.read_csv(io.StringIO(rows))[["seconds", "seconds/setup"]].sum()
    return float(took.iloc[0]), float(took.iloc[1])


def _command() -> str:
    return str(Path(sys.executable).parent / "rrrbench")


def _environment(folder: str, home: str) -> dict[str, str]:
    return {
        **os.environ,
        "RRRBENCH_HOME": f"{folder}/{home}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/{home}.db",
    }
