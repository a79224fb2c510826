"""Ray that is started here is reached from this machine alone."""

from __future__ import annotations

import ipaddress
import subprocess
import sys

import pytest

LISTENS = """
import sys
import psutil
from rrrbench.benchmark.running.executors.cluster import Cluster
from rrrbench.benchmark.running.executors import Settings

def addresses(self, *_):
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        for connection in process.net_connections("inet"):
            if connection.status == "LISTEN":
                print("LISTENS", process.name(), connection.laddr.ip)
    yield from ()

Cluster._results = addresses
list(Cluster().results([], Settings(), lambda epochs: None))
"""


@pytest.mark.slow
def test_ray_started_here_listens_on_loopback(monkeypatch):
    pytest.importorskip("ray")
    pytest.importorskip("psutil")
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    done = subprocess.run([sys.executable, "-c", LISTENS], capture_output=True, text=True, timeout=300, check=True)
    found = [line.split() for line in done.stdout.splitlines() if line.startswith("LISTENS")]
    assert {"gcs_server", "raylet"} <= {name for _, name, _ in found}
    for _, name, address in found:
        ip = ipaddress.ip_address(address)
        mapped = getattr(ip, "ipv4_mapped", None) or ip
        assert mapped.is_loopback, f"{name} listens on {address}"
