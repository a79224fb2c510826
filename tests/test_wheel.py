"""A wheel has all that commands need outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REPRODUCE = "import sys, rrrbench; print(rrrbench.__file__); from rrrbench.benchmark.cli import app; app(sys.argv[1:])"


@pytest.mark.slow
def test_reproduce_works_from_a_wheel_outside_the_repository(tmp_path):
    source, wheels, site, elsewhere = (tmp_path / name for name in ("source", "wheels", "site", "elsewhere"))
    elsewhere.mkdir()
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, files.split("\0")):  # a build writes into its source
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(wheels), str(source)], check=True)
    (wheel,) = wheels.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    env = {**os.environ, "PYTHONPATH": str(site)}
    env.pop("RRRBENCH_HOME", None)
    command = [sys.executable, "-c", REPRODUCE, "reproduce", "rieger2020", "--max-minutes", "0", "--quiet"]
    done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(site))
    assert "of 80 runs recorded" in done.stdout
    assert (elsewhere / "results/reproduced/rieger2020.csv").is_file()
    assert (site / "rrrbench/benchmark/suites/minutes.csv").is_file()
