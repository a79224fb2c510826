"""Writes a start for a mitigation, a dataset or a suite: the file runs unchanged, and marks the parts to replace."""

from __future__ import annotations

import re
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Literal

LONGEST = 60
"""Characters of a name."""
Kind = Literal["mitigation", "dataset", "suite"]


def write(kind: Kind, name: str, folder: Path) -> Path:
    """Writes `folder/NAME.py`, or `folder/NAME.toml` for a suite.

    Raises:
        ValueError: no module, or no suite, can have this name, or the name is taken.
        FileExistsError: the file exists.
    """
    _check(kind, name)
    path = folder / f"{name}.{'toml' if kind == 'suite' else 'py'}"
    if path.exists():
        raise FileExistsError(f"{path} exists: remove it, or choose another name")
    template = Template((Path(__file__).parent / f"{kind}.txt").read_text(encoding="utf-8"))
    text = template.substitute(name=name, title="".join(word.title() for word in name.split("_")))
    path.write_text(text, encoding="utf-8")
    return path


def _check(kind: Kind, name: str) -> None:
    shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
    hyphens = "-" if kind == "suite" else ""
    fits = re.fullmatch(rf"[a-z][a-z0-9_{hyphens}]{{0,{LONGEST - 1}}}", name, re.ASCII)
    if kind == "suite" and not fits:
        raise ValueError(
            f"{shown!r} cannot name a suite: use up to {LONGEST} lower-case letters, digits, underscores and hyphens, "
            "such as my_suite"
        )
    if not fits or (kind != "suite" and iskeyword(name)):
        raise ValueError(
            f"{shown!r} cannot name a {kind}: use up to {LONGEST} lower-case letters, digits and underscores, and no "
            "word of Python's own"
        )
    if name in _taken(kind):
        raise ValueError(f"a {kind} is called {name!r} already: choose another name")


def _taken(kind: Kind) -> list[str]:
    from ...datasets.recipe import datasets
    from ...methods.base import mitigations
    from .. import suites

    return {"mitigation": mitigations.names, "dataset": datasets.names, "suite": suites.names}[kind]()
