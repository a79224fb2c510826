"""A sweep of a suite as pages show it: its runs, its boards by every rule, and the addresses of its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import pandas as pd

from ..ranking.leaderboard import rank_mitigations
from ..ranking.selection import RULES
from ..ranking.sweeps import SWEEP, SweepName, sweep_names
from .recorded import Recorded

RULE = "knee"
"""The selection rule that a page shows first."""

LONGEST = 150
"""Characters of names in an address: a file's name has room for 255 bytes."""


@dataclass(frozen=True)
class RankedSweep:
    """The runs of one suite with one sweep key: a page of pictures.

    Attributes:
        slug: its name in addresses, which ends in digits of the sweep key.
        boards: the leaderboard's rows, by rule.
        foreign: its rows are from a file, see `Recorded`.
        pages: of each mitigation, masks and strength, the page of the first seed's run.
    """

    suite: str
    name: SweepName
    slug: str
    runs: pd.DataFrame
    boards: dict[str, pd.DataFrame]
    pages: dict[tuple[str, str, float], str]
    foreign: bool = False

    @property
    def page(self) -> str:
        return f"sweeps/{self.slug}.html"

    @property
    def protocol(self) -> str:
        return str(self.runs["protocol"].iat[0])

    def address(self, mitigation: str, masks: str, strength: float) -> str:
        """The page of the first seed's run, from the page of the sweep; empty if there is no such run."""
        page = self.pages.get((mitigation, masks, strength))
        return f"../{page}" if page else ""


def rank_sweeps(recordings: Sequence[Recorded], beside: Executor) -> list[RankedSweep]:
    """Every sweep of every suite, ranked in processes `beside`; names differ over all suites."""
    names = sweep_names(pd.concat([recording.runs[SWEEP] for recording in recordings], ignore_index=True))
    return [sweep for recording in recordings for sweep in _ranked(recording, names, beside)]


def run_page(run_key: str) -> str:
    """The page of a run, from the folder of the pages."""
    return f"runs/{run_key[:16]}.html"


def _ranked(recording: Recorded, names: dict[str, SweepName], beside: Executor) -> Iterator[RankedSweep]:
    found = {str(key): runs for key, runs in recording.runs.groupby("sweep_key", sort=False)}
    ordered = [key for key in names if key in found]
    ranked = [{rule: beside.submit(rank_mitigations, found[key], rule) for rule in RULES} for key in ordered]
    for key, boards in zip(ordered, ranked, strict=True):
        first = found[key].sort_values("seed").drop_duplicates(["mitigation", "masks", "strength"])
        places = first[["mitigation", "masks", "strength", "run_key"]].itertuples(index=False)
        pages = {(mitigation, masks, strength): run_page(own) for mitigation, masks, strength, own in places}
        by_rule = {rule: board.result() for rule, board in boards.items()}
        slug = _slug(recording.name, names[key], key)
        yield RankedSweep(recording.name, names[key], slug, found[key], by_rule, pages, recording.foreign)


def _slug(suite: str, name: SweepName, key: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", f"{suite} {' '.join(name)}".lower()).strip("-")
    return f"{words[:LONGEST]}-{key[:8]}"
