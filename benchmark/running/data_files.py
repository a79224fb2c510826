"""Whether the files that a suite's data are read from are the files of its finished runs.

Beside a draw's digest the store keeps size, times and SHA-256 of each of the draw's files. A file with the same size
and times is the same; a file with others is hashed; where the hash is another, the data are drawn and compared with the
digest of the records, which alone decides.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from ...datasets.files import Stamp, stamp_of
from ...datasets.recipe import Recipe
from ...datasets.registry import Named
from ...datasets.sources import MissingData
from ..networks import NetworkRecipe
from ..store.record import Record
from ..store.records import RecordStore, SourceFile
from ..suite.stack import Stack
from .executors.base import DigestMismatch, draw

log = logging.getLogger(__name__)

Stamps = tuple[Stamp, ...]
SHOWN = 6
"""Older runs that an error lists."""


class ReplacedFile(DigestMismatch):
    """A data file that is not the file of finished runs."""


class DataFiles:
    """The files of a suite's datasets and networks, from the beginning of a session to its end.

    A network's file has its digest in the run key, so that its other content is another run; networks compare it
    themselves when they are built.

    Args:
        notes: files that are found to be the same under other stamps are noted, so that the next comparison is quick.

    Attributes:
        at_first: each dataset's and each network's files as they were when the session began, if it has files.
    """

    def __init__(self, store: RecordStore, stacks: Iterable[Stack], notes: bool = True) -> None:
        self.store, self.notes = store, notes
        self.draws: dict[tuple[Recipe, int], str] = {}
        self.networks: dict[NetworkRecipe, None] = {}
        for stack in stacks:
            if isinstance(dataset := stack.dataset, Recipe):  # letters are embedded
                self.draws |= {(dataset, seed): stack.dataset_key(seed) for seed in stack.seeds}
            if isinstance(network := getattr(stack, "network", None), NetworkRecipe):
                self.networks[network] = None
        self.at_first = self._now()

    def unchanged(self) -> bool:
        """Whether no file has changed, appeared or gone since the session began."""
        return self._now() == self.at_first

    def files(self) -> list[Stamp]:
        """The files as they were when the session began, without duplicates."""
        return list(dict.fromkeys(stamp for stamps in self.at_first.values() for stamp in stamps))

    def check(self, records: Iterable[Record]) -> None:
        """Compares the files of the datasets with the files of their finished runs.

        Raises:
            ReplacedFile: another content; the message lists the runs of the older file, and what to do.
        """
        for stamps, own in self.older(records).items():
            raise ReplacedFile(_replaced(stamps, own, self.store.home))

    def older(self, records: Iterable[Record]) -> dict[Stamps, list[Record]]:
        """The finished runs of another content than the files have that are there, by these files."""
        now, older = self._now(), defaultdict(list)
        by_draw: dict[str, list[Record]] = defaultdict(list)
        for record in records:
            if record.digest:
                by_draw[record.dataset_key].append(record)
        same: dict[object, bool] = {}  # by a dataset and the content of its files, then and now: seeds share the answer
        for (dataset, seed), key in self.draws.items():
            if (stamps := now.get(dataset)) and (own := by_draw.get(key)):
                older[stamps] += self._older(dataset, seed, key, stamps, own, same)
        return {stamps: own for stamps, own in older.items() if own}

    def note(self, dataset: Named, records: Iterable[Record]) -> None:
        """Keeps what the files of recorded draws are, unless they have changed since the session began."""
        if not isinstance(dataset, Recipe) or not (stamps := self.at_first.get(dataset)) or dataset.stamps() != stamps:
            return
        for key in {record.dataset_key for record in records if record.digest}:
            if not self.store.files(key):
                self.store.put_files(key, _hashed(dataset, stamps))

    def _older(
        self, dataset: Recipe, seed: int, key: str, stamps: Stamps, own: list[Record], same: dict
    ) -> list[Record]:
        """The records of a draw that are of other files than those that are there."""
        noted = self.store.files(key)
        if [file.stamp for file in noted] == list(stamps) or len(stamps) < len(noted):  # a part of the files is gone
            return []
        found = _hashed(dataset, stamps)
        then, content = tuple(file.sha256 for file in noted), tuple(file.sha256 for file in found)
        if then != content:
            answer = (dataset, then or seed, content)
            if answer not in same:
                digest = draw(dataset, seed).digest()
                same[answer] = all(record.digest == digest for record in own)
            if not same[answer]:
                return own
        if self.notes:
            self.store.put_files(key, found)
        return []

    def _now(self) -> dict[Recipe | NetworkRecipe, Stamps]:
        datasets = dict.fromkeys(dataset for dataset, _ in self.draws)
        of_data = {dataset: stamps for dataset in datasets if (stamps := dataset.stamps())}
        return of_data | {net: tuple(map(stamp_of, files)) for net in self.networks if (files := net.files())}


def _hashed(dataset: Recipe, stamps: Stamps) -> list[SourceFile]:
    return [SourceFile(stamp, dataset.content(stamp)) for stamp in stamps]


def warn_of_older(store: RecordStore, stacks: Iterable[Stack], records: Iterable[Record]) -> None:
    """Warns of finished runs of another content than their data files have now.

    Runs are shown all the same: they are what was measured. A file that is absent is no reason to warn.
    """
    stacks, records = list(stacks), list(records)
    try:
        for stamps, own in DataFiles(store, stacks, notes=False).older(records).items():
            log.warning(
                "%s",
                f"{_said(stamps, own)}\nThey are shown as they were recorded, and `rrrbench run` refuses the file: "
                f"{_ways_out(store.home)}",
            )
    except MissingData:
        pass
    except (ValueError, OSError) as error:
        log.warning("%s", f"finished runs cannot be compared with their data files as these are now: {error}")


def _replaced(stamps: Stamps, older: list[Record], home: Path) -> str:
    """The error about files that are not the files of `older`."""
    return f"{_said(stamps, older)}\nNothing is shown or trained: {_ways_out(home)}"


def _said(stamps: Stamps, older: list[Record]) -> str:
    """Names the files, and lists the runs of their older content."""
    files = ", ".join(stamp.path for stamp in stamps)
    named = [
        f"{run.dataset} {run.network} {run.mitigation} strength {run.strength:.3g} seed {run.seed}" for run in older
    ]
    rest = [f"and {len(named) - SHOWN} more"] if len(named) > SHOWN else []
    listed = "\n  ".join([*named[:SHOWN], *rest])
    return (
        f"{files}: the content has changed since finished runs were trained on it. "
        f"Finished runs of the older content: {len(older)}:\n  {listed}"
    )


def _ways_out(home: Path) -> str:
    return (
        "put the older file back; or keep both, the new file under a name of its own that the suite names; "
        f"or train anew on the new file in another folder of results (RRRBENCH_HOME=..., or move {home} away)"
    )
