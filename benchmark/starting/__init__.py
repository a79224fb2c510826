"""Writes a starting file for a mitigation or a dataset: the file runs unchanged, and marks the parts to replace."""

from __future__ import annotations

import re
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Literal

LONGEST = 60
"""Characters of a name."""
Kind = Literal["mitigation", "dataset"]


def write(kind: Kind, name: str, folder: Path) -> Path:
    """Writes `folder/NAME.py`.

    Raises:
        ValueError: no module can have this name, or the name is taken.
        FileExistsError: the file exists.
    """
    from ...datasets.recipe import datasets
    from ...methods.base import mitigations

    if not re.fullmatch(rf"[a-z][a-z0-9_]{{0,{LONGEST - 1}}}", name, re.ASCII) or iskeyword(name):
        shown = name if len(name) <= LONGEST else f"{name[:LONGEST]}…"
        raise ValueError(
            f"{shown!r} cannot name a {kind}: use up to {LONGEST} lower-case letters, digits and underscores, and no "
            "word of Python's own"
        )
    if name in (mitigations if kind == "mitigation" else datasets).names():
        raise ValueError(f"a {kind} is called {name!r} already: choose another name")
    path = folder / f"{name}.py"
    if path.exists():
        raise FileExistsError(f"{path} exists: remove it, or choose another name")
    template = Template((Path(__file__).parent / f"{kind}.txt").read_text())
    path.write_text(template.substitute(name=name, title="".join(word.title() for word in name.split("_"))))
    return path
