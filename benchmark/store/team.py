"""Records that others have finished, brought into this folder from a tracking server that is shared."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from .mirror import Mirror
from .record import Record
from .records import reason_of
from .server import Away, away
from .writing import RECORD

AT_ONCE = 8
log = logging.getLogger(__name__)


def bring(mirror: Mirror, wanted: Mapping[str, Mapping[str, Any]], sweep_keys: Collection[str]) -> tuple[int, str]:
    """Asks the server once for finished runs of these keys, and keeps their records here.

    A server that is away, or an artifact that cannot be had, does not read, or says something else of its run than the
    suite does, is said in the log, and means no record.

    Args:
        wanted: by run key the fields that the suite itself knows of the run.

    Returns:
        The number of records that were brought, and why the server could not be used; empty if it could.
    """
    try:
        with away(mirror.uri):
            found = {
                run.data.tags["run_key"]: run.info.run_id
                for sweep_key in sorted(sweep_keys)
                for run in mirror.search(f"tags.sweep_key = '{sweep_key}' and tags.kind = 'run'")
                if run.info.status == "FINISHED" and run.data.tags["run_key"] in wanted
            }
    except Away as error:
        log.warning("not asked for runs that others finished: %s: %s", mirror.address, error)
        return 0, str(error)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        downloaded = list(pool.map(lambda item: _downloaded(mirror, *item), found.items()))
    there = [record for record in downloaded if record is not None and record.sweep_key in sweep_keys]
    records = [record for record in there if _is_wanted(record, wanted[record.run_key], mirror.address)]
    for record in records:
        mirror.store.put(record)
    return len(records), ""


def _downloaded(mirror: Mirror, key: str, run_id: str) -> Record | None:
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(mirror.client.download_artifacts(run_id, RECORD, folder))
            record = Record.model_validate_json(file.read_bytes())
    except ValidationError as error:
        log.warning(
            "run %s… on %s has a record that does not read (%s): it is trained here",
            *(key[:12], mirror.address, reason_of(error)),
        )
        return None
    except Exception as error:  # whatever an artifact store raises
        log.warning("the record of run %s… cannot be had from %s (%s)", key[:12], mirror.address, type(error).__name__)
        return None
    return record if record.run_key == key else None


def _is_wanted(record: Record, known: Mapping[str, Any], address: str) -> bool:
    """Whether the record says of its run what the suite knows of it."""
    said = record.model_dump(mode="json", include=set(known))
    other = next((name for name, value in to_jsonable_python(known).items() if said[name] != value), None)
    if other is not None:
        log.warning(
            "run %s… on %s has another %s than the suite: it is trained here", record.run_key[:12], address, other
        )
    return other is None
