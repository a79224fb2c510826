"""The submissions that differ from another revision: what a pull request brings, changes, renames or takes away."""

from __future__ import annotations

import subprocess
from pathlib import Path
from textwrap import shorten

from ...datasets.own_code import Refused

FOLDER = Path("results/submissions")


def changed(base: str) -> list[Path]:
    """The files of mitigations to check again, where a file or a row of theirs was added, changed, renamed or removed.

    Raises:
        Refused: a row without its file, a file without its row, or something that is no plain file.
        OSError: git is not installed, or this is no checkout of `base`.
    """
    if not base.strip():
        raise OSError("git does not say what differs from nothing: name a revision, such as origin/main")
    differs = ["diff", "--name-only", "-z", "--no-renames", "--end-of-options", f"{base}...HEAD", "--", f":/{FOLDER}"]
    try:
        names = subprocess.run(["git", *differs], capture_output=True, text=True, check=True).stdout.split("\0")
    except subprocess.CalledProcessError as error:
        said = shorten(error.stderr.strip().partition("\n")[0], 300)
        raise OSError(
            f"git does not say what differs from {base}: {said}: name a revision, such as origin/main, in a checkout"
        ) from error
    top = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True, check=True).stdout
    paths = [Path(top.rstrip("\n")) / name for name in names if name.lower().endswith((".py", ".json"))]
    files = sorted({path.with_suffix(".py") for path in paths})
    return [path for path in files if paired(path)]


def paired(path: Path) -> bool:
    """Whether a submission is there, with its row; False where both were taken away.

    Raises:
        Refused: only half of it is there, or something that is no plain file.
    """
    row = path.with_suffix(".json")
    for file in (path, row):
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise Refused(f"{file} is no plain file: add the file itself")
    if path.exists() and not row.exists():
        raise Refused(f"{path} has no row: run `rrrbench submit check {path.name}` and add {row.name}")
    if row.exists() and not path.exists():
        raise Refused(f"{row} is a row without its file: add {path.name}, or remove the row")
    return path.exists()
