"""Where results are kept: one folder, found from the working directory or named by the environment."""

from __future__ import annotations

import logging
import os
from pathlib import Path

HOME = Path("results/local")
"""Below a project's folder."""
LEFT_BY_0_1 = ("outbox", "finished")
"""Folders that version 0.1 made in its home and no later version makes."""
log = logging.getLogger(__name__)


def home() -> Path:
    """The folder of results: `RRRBENCH_HOME`, else the nearest `results/local` upwards from here, else a new one here.

    Returns:
        An absolute path; the folder need not exist.
    """
    if named := os.environ.get("RRRBENCH_HOME"):
        return Path(named).expanduser().absolute()
    here = Path.cwd()
    return next((folder / HOME for folder in (here, *here.parents) if (folder / HOME).is_dir()), here / HOME)


def results() -> Path:
    """The folder of tables that people keep: `results` beside a `results/local`, else the home itself."""
    found = home()
    return found.parent if found.parts[-2:] == HOME.parts else found


def tell_of_version_0_1(folder: Path) -> None:
    """Warns where version 0.1 kept its runs in this home: they stay in MLflow, and no later version reads them."""
    left = [name for name in LEFT_BY_0_1 if (folder / name).is_dir()]
    if left:
        log.warning(
            "%s was written by rrrbench 0.1: its runs, of protocol 1.0, are in MLflow alone and are not read here, so "
            "they are trained anew. Move %s away, and this line with it; version 0.1 delivers records of its outbox",
            folder,
            " and ".join(str(folder / name) for name in left),
        )
