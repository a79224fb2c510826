"""Which engine `--engine auto` found fastest, kept so that a resumed sweep is trained the same way."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path

from ..store.whole import write_whole


class Choices(MutableMapping[str, str]):
    """Engines by shape of stack, in a file. A file that does not read is ignored, and written anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, str] = {}
        with suppress(OSError, ValueError):
            content = json.loads(path.read_bytes())
            self._known = {str(key): str(value) for key, value in content.items()} if isinstance(content, dict) else {}

    def __getitem__(self, key: str) -> str:
        return self._known[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._known[key] = value
        write_whole(self.path, json.dumps(self._known, indent=2, sort_keys=True).encode())

    def __delitem__(self, key: str) -> None:
        del self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
