"""A real `mlflow server` on loopback, for tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Server:
    """`mlflow server`; started again, it has the same address and the same database."""

    def __init__(self, folder: Path, database: str, workers: int = 1) -> None:
        port = free_port()
        self.log = folder / "mlflow-server.log"
        self.uri = f"http://127.0.0.1:{port}"
        self.command = [
            Path(sys.executable).parent / "mlflow", "server", "--port", str(port), "--workers", str(workers),
            "--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts"),
        ]  # fmt: skip
        self.start()

    def start(self) -> None:
        with self.log.open("a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise TimeoutError(f"no MLflow server at {self.uri}:\n{self.log.read_text()}")

    def stop(self) -> None:
        os.killpg(self.process.pid, 9)
        self.process.wait()
