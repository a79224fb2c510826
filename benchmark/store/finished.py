"""Recognises a finished suite before torch and MLflow are imported, which takes longer than everything else then."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from .. import suites
from .tracking import LOCAL, finished_keys

SOURCES = Path(__file__).parents[2]


def remember(suite: str, uri: str, rule: str, keys: Sequence[str], summary: str, local: Path = LOCAL) -> None:
    """Notes that every run of the suite is finished, and what to say when it is run again with this rule."""
    stamp = _stamp(suite, local)
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(
        json.dumps({"fingerprint": _fingerprint(suite, uri, rule), "keys": list(keys), "summary": summary})
    )


def recall(suite: str, uri: str, rule: str, local: Path = LOCAL) -> str | None:
    """The summary, if the suite, the code and the store are as they were and the store still has every run."""
    stamp = _stamp(suite, local)
    if not stamp.is_file() or not suites.path_of(suite).is_file():
        return None
    noted = json.loads(stamp.read_text())
    if noted["fingerprint"] != _fingerprint(suite, uri, rule) or not set(noted["keys"]) <= finished_keys(uri):
        return None
    return noted["summary"]


def _stamp(suite: str, local: Path) -> Path:
    return local / "finished" / f"{suites.path_of(suite).stem}.json"


def _fingerprint(suite: str, uri: str, rule: str) -> str:
    """Of everything that a run key may depend on: the suite's file, rrrbench's code, the store's address, the rule."""
    sha = hashlib.sha256(f"{uri} {rule}".encode() + suites.path_of(suite).read_bytes())
    for folder in ("benchmark", "datasets", "methods"):
        for path in sorted((SOURCES / folder).rglob("*.py")):
            sha.update(path.read_bytes())
    return sha.hexdigest()
