"""The folder of results: a file for every run, and what belongs to it under the same key.

records/AB/RUN_KEY.json      one run; finished if and only if this file reads whole
failed/AB/RUN_KEY.json       a run that raised, with its traceback; tried again
models/AB/RUN_KEY.pt         the run's state dict, where the suite keeps models
pictures/SWEEP_KEY/*.png     where the networks of a sweep look, a picture a mitigation
evaluated/DATASET_KEY/KEY    names a record of a network that was trained elsewhere, by its draw of a dataset
draws/AB/DATASET_KEY         the digest with which a draw of a dataset was recorded first
files/AB/DATASET_KEY.json    the files that the draw was read from, if any: size, times and SHA-256
unreadable/RUN_KEY.json      files that did not read, set aside
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import torch
from pydantic import ValidationError
from torch import Tensor

from ...datasets.files import Stamp
from .record import Record
from .whole import write_whole

log = logging.getLogger(__name__)


class SourceFile(NamedTuple):
    """A file that data were read from."""

    stamp: Stamp
    sha256: str


class RecordStore:
    """The results in one folder. Any number of processes may read and write it at once.

    Args:
        home: see `home.home`; made when something is written.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def require_writable(self) -> None:
        """Raises OSError unless records can be kept here: before anything is trained, not after."""
        for kind in ("records", "failed"):
            try:
                (self.home / kind).mkdir(parents=True, exist_ok=True)
                with TemporaryFile(dir=self.home / kind):
                    pass
            except OSError as error:
                raise OSError(
                    f"results cannot be kept in {self.home / kind}: {error.strerror}. Make it a folder that can be "
                    "written, or name another in RRRBENCH_HOME"
                ) from error

    def put(self, record: Record, model: Mapping[str, Tensor] | None = None) -> None:
        """Keeps a run. A finished run's file is written last, once, and never changed.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        if record.status == "failed":
            write_whole(self._path("failed", record.run_key), _content(record))
            return
        if model is not None:
            packed = io.BytesIO()
            torch.save(dict(model), packed)  # into memory first: on a full disk it raises no OSError
            write_whole(self.model_path(record.run_key), packed.getvalue())
        if record.digest and self.digest(record.dataset_key) is None:
            write_whole(self._draw(record.dataset_key), record.digest.encode())
        if self.get(record.run_key) is None:
            write_whole(self._path("records", record.run_key), _content(record))
        self._path("failed", record.run_key).unlink(missing_ok=True)

    def put_evaluated(self, record: Record) -> None:
        """Keeps the evaluation of a network that was trained elsewhere, where its draw of a dataset finds it.

        Raises:
            ValueError: another network has this name on this draw, the same network other numbers, or the draw another
                content than in earlier records.
            OSError: the folder cannot be written, or the disk is full.
        """
        noted = self.digest(record.dataset_key)
        if noted is not None and noted != record.digest:
            raise ValueError(
                f"{record.dataset}, seed {record.seed}, has another content than in the records of {self.home}: "
                f"SHA-256 {record.digest[:12]}… now, {noted[:12]}… then. Restore the data, or keep this record apart"
            )
        known = self.get(record.run_key)
        if known is not None and known.configuration["network"] != record.configuration["network"]:
            raise ValueError(
                f"another network is kept as {record.network!r} on {record.dataset}, seed {record.seed}: give this one "
                f"another name (name=; in a command --name), or delete {self.path(record.run_key)}"
            )
        if known is not None and known.metrics != record.metrics:
            raise ValueError(
                f"{record.network!r} on {record.dataset}, seed {record.seed}, is kept with other numbers: delete "
                f"{self.path(record.run_key)} to keep these"
            )
        self.put(record)
        write_whole(self.home / "evaluated" / record.dataset_key / record.run_key, b"")

    def evaluated(self, dataset_keys: Iterable[str]) -> list[Record]:
        """The networks trained elsewhere that were evaluated on these draws of datasets."""
        folders = [self.home / "evaluated" / key for key in dataset_keys]
        keys = [path.name for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
        return list(self.finished(keys).values())

    def put_picture(self, record: Record, png: bytes) -> None:
        """Keeps the picture of a record's mitigation in its sweep.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        write_whole(self.pictures / record.sweep_key / picture_name(record.mitigation, record.masks), png)

    def get(self, key: str) -> Record | None:
        """The run of this key, if it is finished. A file that does not read whole is set aside, with a warning."""
        path = self._path("records", key)
        try:
            record = Record.model_validate_json(path.read_bytes())
            if record.run_key == key and record.status != "failed":
                return record
            reason = f"it is of run {record.run_key[:12]}…, {record.status}"
        except (FileNotFoundError, NotADirectoryError):
            return None
        except IsADirectoryError:
            reason = "it is a folder"
        except ValidationError as error:
            reason = reason_of(error)
        self._set_aside(path, reason)
        return None

    def finished(self, keys: Iterable[str]) -> dict[str, Record]:
        """The finished runs among these keys, in their order."""
        return {key: record for key in keys if (record := self.get(key)) is not None}

    def every(self) -> Iterator[Record]:
        """Every finished run in the folder, of whatever suite."""
        for path in sorted((self.home / "records").glob("??/*.json")):
            if (record := self.get(path.stem)) is not None:
                yield record

    def failed(self, keys: Iterable[str]) -> dict[str, Record]:
        """The last failure of each of these keys that failed and is not finished."""
        found = {}
        for key in keys:
            try:
                found[key] = Record.model_validate_json(self._path("failed", key).read_bytes())
            except (OSError, ValidationError):  # none, or none to speak of: the run is tried again
                continue
        return found

    def all(self, keys: Iterable[str]) -> list[Record]:
        """What there is of these runs, in their order: the finished run, else its last failure."""
        keys = list(keys)
        finished = self.finished(keys)
        found = self.failed(key for key in keys if key not in finished) | finished
        return [found[key] for key in keys if key in found]

    def digest(self, dataset_key: str) -> str | None:
        """The digest with which this draw of a dataset was recorded; None if no run of it is."""
        try:
            noted = self._draw(dataset_key).read_bytes()
        except OSError:
            return None
        return noted.decode() if re.fullmatch(rb"[0-9a-f]{64}", noted) else None  # else it is written anew

    def files(self, dataset_key: str) -> list[SourceFile]:
        """The files that this draw of a dataset was read from; empty if none are noted."""
        try:
            noted = json.loads(self._path("files", dataset_key).read_bytes())
            return [SourceFile(Stamp(*stamp), str(sha)) for stamp, sha in noted]
        except (OSError, ValueError, TypeError):  # a note for speed: without it the data are drawn and compared
            return []

    def put_files(self, dataset_key: str, files: list[SourceFile]) -> None:
        """Notes the files that this draw of a dataset is read from.

        Raises:
            OSError: the folder cannot be written, or the disk is full.
        """
        write_whole(self._path("files", dataset_key), json.dumps(files).encode())

    @property
    def pictures(self) -> Path:
        """A folder a sweep, named by its sweep key."""
        return self.home / "pictures"

    def picture(self, record: Record) -> Path | None:
        """The picture of a record's mitigation in its sweep."""
        path = self.pictures / record.sweep_key / picture_name(record.mitigation, record.masks)
        return path if path.is_file() else None

    def model_path(self, key: str) -> Path:
        """Where a run's state dict lies, if its suite keeps models."""
        return self.home / "models" / key[:2] / f"{key}.pt"

    def path(self, key: str) -> Path:
        """Where a finished run's file lies."""
        return self._path("records", key)

    def _path(self, kind: str, key: str) -> Path:
        return self.home / kind / key[:2] / f"{key}.json"

    def _draw(self, dataset_key: str) -> Path:
        return self.home / "draws" / dataset_key[:2] / dataset_key

    def _set_aside(self, path: Path, reason: str) -> None:
        aside = self.home / "unreadable" / path.name
        log.warning(
            "%s does not read (%s): it is set aside in %s, and its run is trained again", path, reason, aside.parent
        )
        try:
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, aside)
        except OSError as error:
            log.warning("%s cannot be set aside: %s", path, error)


def strip_name(run_key: str) -> str:
    """The file of a run's twins in the folder of its sweep's pictures, for readers who lack the data."""
    return f"twins-{run_key[:16]}.png"


def picture_name(mitigation: str, masks: str) -> str:
    """The file name of a mitigation's picture."""
    return f"{titled(mitigation, masks)}.png".replace(":", " ").replace("/", " ")


def titled(mitigation: str, masks: str) -> str:
    """A mitigation with its masks, if these are not the true ones: `rrr, masks wrong`."""
    return mitigation if masks == "true" else f"{mitigation}, masks {masks}"


def _content(record: Record) -> bytes:
    return record.model_dump_json().encode()


def reason_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])
