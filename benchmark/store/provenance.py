"""Which code and which libraries made a record."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("rrrbench", "torch", "numpy", "mlflow")


@cache
def provenance() -> dict[str, str]:
    """`git_commit` of the running code, `dirty` ("true" where files differ from the commit), `versions` of libraries.

    Commit and dirty are "unknown" outside a git checkout, or where git is not installed.
    """
    try:
        code = {"git_commit": _git("rev-parse", "HEAD"), "dirty": str(bool(_git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        code = {"git_commit": "unknown", "dirty": "unknown"}
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return {**code, "versions": f"Python {platform.python_version()}, {libraries}, {platform.platform(terse=True)}"}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
