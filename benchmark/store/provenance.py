"""Which code and which libraries made a record."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ...datasets.own_code import loaded

LIBRARIES = ("rrrbench", "torch", "numpy", "mlflow")


def provenance() -> dict[str, str]:
    """`git_commit` of the running code, `dirty` ("true" where files differ from the commit), `versions` of libraries.

    Where files were loaded by `--with`, also `with`: their names, each with its SHA-256. Commit and dirty are "unknown"
    outside a git checkout, or where git is not installed.
    """
    own = ", ".join(f"{file.path.name} {file.sha256}" for file in loaded())
    return {**_ours(), **({"with": own} if own else {})}


@cache
def _ours() -> dict[str, str]:
    try:
        code = {"git_commit": _git("rev-parse", "HEAD"), "dirty": str(bool(_git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        code = {"git_commit": "unknown", "dirty": "unknown"}
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return {**code, "versions": f"Python {platform.python_version()}, {libraries}, {platform.platform(terse=True)}"}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
