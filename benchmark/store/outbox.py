"""Records on their way to MLflow: a stack's are on disk, all or none, before the first of them is logged."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import torch
from pydantic import BaseModel
from torch import Tensor

from .record import Record


class Parcel(BaseModel):
    """The records of one stack and the suite that asked for them."""

    suite: str
    records: tuple[Record, ...]


class Outbox:
    """A folder with a file for every parcel that has not been delivered yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(
        self,
        suite: str,
        records: Sequence[Record],
        models: Mapping[str, dict[str, Tensor]] | None = None,
        panel: bytes | None = None,
    ) -> None:
        """Keeps a finished stack's records, its runs' state dicts by run key if there are any, and its picture (png).

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{records[0].run_key}.json"
        if models:
            packed = io.BytesIO()
            torch.save(dict(models), packed)  # into memory first: on a full disk it raises no OSError
            path.with_suffix(".pt").write_bytes(packed.getvalue())
        if panel is not None:
            path.with_suffix(".png").write_bytes(panel)
        write_whole(path, Parcel(suite=suite, records=tuple(records)).model_dump_json())

    def parcels(self) -> Iterator[tuple[Path, Parcel]]:
        """What waits, oldest first."""
        for path in sorted(self.folder.glob("*.json"), key=_age):
            with suppress(FileNotFoundError):  # another session delivered it
                yield path, Parcel.model_validate_json(path.read_text())

    def models(self, path: Path) -> dict[str, dict[str, Tensor]]:
        """The state dicts that belong to a parcel, by run key."""
        models = path.with_suffix(".pt")
        return torch.load(models, weights_only=True) if models.exists() else {}

    def panel(self, path: Path) -> Path | None:
        """The picture that belongs to a parcel."""
        panel = path.with_suffix(".png")
        return panel if panel.exists() else None

    def remove(self, path: Path) -> None:
        """Forgets a delivered parcel."""
        for attached in (".json", ".pt", ".png"):
            path.with_suffix(attached).unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Writes a file that is never seen half, by a kill or by another session that writes the same one."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.", delete=False) as partial:
        try:
            partial.write(text)
            partial.flush()
            os.fsync(partial.fileno())
            os.replace(partial.name, path)
        except BaseException:
            os.unlink(partial.name)
            raise


def _age(path: Path) -> int:
    with suppress(FileNotFoundError):  # another session delivered it
        return path.stat().st_mtime_ns
    return 0
