"""The submissions that differ from another revision: what a pull request brings, changes, renames or takes away."""

from __future__ import annotations

import subprocess
from os.path import lexists
from pathlib import Path
from textwrap import shorten

from ...datasets.own_code import Refused
from ..report.submissions import ENDINGS, require_plain
from ..report.submissions import FOLDER as NAME

FOLDER = Path("results") / NAME


def changed(base: str) -> list[Path]:
    """The files of mitigations to check again, where a file or a row of theirs was added, changed, renamed or removed.

    Raises:
        Refused: a row without its file, a file without its row, a file that no submission has, or a folder that is a
            link or another repository: what the leaderboard would show and nobody would check.
        OSError: git is not installed, or this is no checkout of `base`.
    """
    if not base.strip():
        raise OSError("git does not say what differs from nothing: name a revision, such as origin/main")
    differs = ("diff", "--name-only", "-z", "--no-renames", "--ignore-submodules=none", "--end-of-options")
    try:
        top = Path(_git("rev-parse", "--show-toplevel").rstrip("\n"))
        names = _git(*differs, f"{base}...HEAD", "--", f":(top,icase){FOLDER}").split("\0")
    except subprocess.CalledProcessError as error:
        said = shorten(error.stderr.strip().partition("\n")[0], 300)
        raise OSError(
            f"git does not say what differs from {base}: {said}: name a revision, such as origin/main, in a checkout"
        ) from error
    _require_folders()
    paths = [top / name for name in names if name.lower().endswith(ENDINGS)]
    for path in filter(lexists, paths):
        if not path.is_relative_to(top / FOLDER):
            raise Refused(f"{path} is not in {FOLDER}, whose letters are small: move it there")
        require_plain(path)
    files = sorted({path.with_suffix(".py") for path in paths})
    return [path for path in files if paired(path)]


def _git(*words: str) -> str:
    """What git says; bytes of a name that are not UTF-8 are kept."""
    told = subprocess.run(["git", *words], capture_output=True, check=True, encoding="utf-8", errors="surrogateescape")
    return told.stdout


def _require_folders() -> None:
    """Raises Refused if the folder of submissions, or a folder around it, is a link or another repository."""
    folders = [str(folder) for folder in (FOLDER, *FOLDER.parents) if folder.name]
    for entry in _git("ls-tree", "--full-tree", "-z", "HEAD", *folders).split("\0"):
        about, _, name = entry.partition("\t")
        if name in folders and about.split()[1] != "tree":
            raise Refused(f"{name} is a link, a file or another repository: make it a folder, whose files are checked")


def paired(path: Path) -> bool:
    """Whether a submission is there, with its row; False where both were taken away.

    Raises:
        Refused: only half of it is there, or something that is no plain file.
    """
    row = path.with_suffix(".json")
    for file in filter(lexists, (path, row)):
        require_plain(file)
    if path.exists() and not row.exists():
        raise Refused(f"{path} has no row: run `rrrbench submit check {path.name}` and add {row.name}")
    if row.exists() and not path.exists():
        raise Refused(f"{row} is a row without its file: add {path.name}, or remove the row")
    return path.exists()
