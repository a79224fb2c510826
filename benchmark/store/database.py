"""MLflow's sqlite file, made whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .server import SQLITE, client_uri, patient


def create_database(path: Path) -> None:
    """Makes MLflow's database where there is none, or an empty file: beside its place, then renamed.

    A kill while MLflow creates its tables therefore leaves no database that is half made.

    Raises:
        OSError: the folder cannot be made or written.
    """
    if path.is_file() and path.stat().st_size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    patient()
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=path.parent) as folder:
        beside = Path(folder) / path.name
        MlflowClient(client_uri(f"{SQLITE}{beside}")).search_experiments(max_results=1)
        if not (path.is_file() and path.stat().st_size):  # another driver may have been faster
            os.replace(beside, path)
