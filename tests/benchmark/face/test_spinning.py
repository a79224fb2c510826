"""How long torch's threads spin while they wait is bounded before torch is loaded, unless the user says how long."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

WORKER = """
import os
from multiprocessing import get_context
import rrrbench
if __name__ == "__main__":
    with get_context("spawn").Pool(1) as pool:
        print(pool.apply(os.getenv, ["GOMP_SPINCOUNT"]))
"""


def ran(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GOMP_", "OMP_"))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="torch brings libgomp on Linux")
@pytest.mark.parametrize(
    ("variables", "spins"), [({}, "1000"), pytest.param({"GOMP_SPINCOUNT": "77"}, "77", marks=pytest.mark.slow)]
)
def test_torchs_openmp_has_the_bound_or_the_users(variables, spins):
    told = ran("-c", "import rrrbench, torch", OMP_DISPLAY_ENV="VERBOSE", **variables).stderr
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", told)) == {spins}


def test_a_users_wait_policy_decides_alone():
    code = "import os, rrrbench; print(os.environ.get('GOMP_SPINCOUNT'))"
    assert ran("-c", code, OMP_WAIT_POLICY="active").stdout.strip() == "None"


def test_a_worker_process_has_the_bound(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    assert ran(str(script)).stdout.strip() == "1000"
