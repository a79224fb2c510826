"""Records that others have finished, brought into this folder from a tracking server that is shared."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import ValidationError

from .mirror import Mirror
from .record import Record
from .server import Away, away
from .writing import RECORD

AT_ONCE = 8
log = logging.getLogger(__name__)


def bring(mirror: Mirror, keys: Collection[str], sweep_keys: Collection[str]) -> tuple[int, str]:
    """Asks the server once for finished runs of these keys, and keeps their records here.

    A server that is away, or an artifact that cannot be had or does not read, is said in the log, and means no record.

    Returns:
        The number of records that were brought, and why the server could not be used; empty if it could.
    """
    try:
        with away(mirror.uri):
            found = {
                run.data.tags["run_key"]: run.info.run_id
                for sweep_key in sorted(sweep_keys)
                for run in mirror.search(f"tags.sweep_key = '{sweep_key}' and tags.kind = 'run'")
                if run.info.status == "FINISHED" and run.data.tags["run_key"] in keys
            }
    except Away as error:
        log.warning("not asked for runs that others finished: %s: %s", mirror.address, error)
        return 0, str(error)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        downloaded = list(pool.map(lambda item: _downloaded(mirror, *item), found.items()))
    records = [record for record in downloaded if record is not None and record.sweep_key in sweep_keys]
    for record in records:
        mirror.store.put(record)
    return len(records), ""


def _downloaded(mirror: Mirror, key: str, run_id: str) -> Record | None:
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(mirror.client.download_artifacts(run_id, RECORD, folder))
            record = Record.model_validate_json(file.read_bytes())
    except ValidationError:
        log.warning("run %s… on %s has a record that does not read: it is trained here", key[:12], mirror.address)
        return None
    except Exception as error:  # whatever an artifact store raises
        log.warning("the record of run %s… cannot be had from %s (%s)", key[:12], mirror.address, type(error).__name__)
        return None
    return record if record.run_key == key else None
