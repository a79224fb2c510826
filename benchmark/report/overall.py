"""The ranking that the first page begins with: mitigations over all sweeps of one protocol, with masks and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ..ranking.mean_ranks import MeanRanks
from ..ranking.overall import mean_ranks_overall, rank_overall
from ..ranking.published import papers
from ..ranking.selection import BASELINE
from ..ranking.statistics import with_interval
from ..suite.protocol import PROTOCOL_VERSION
from .ranked_sweep import RULE, RankedSweep
from .recorded import Recorded

SIDES = (
    ("With masks", "Somebody has marked where the shortcut is, or where the object is, in the training inputs.", True),
    ("Without masks", "Labels alone, or labels and the group of each input (marked).", False),
)


@dataclass(frozen=True)
class Overall:
    """The names of the sweeps, the tables (of each its title, a sentence, and its rows), and mean ranks.

    Attributes:
        left_out: how many sweeps are of another protocol, and not ranked.
        repeated: how many repeat a paper, with its strengths and variants, and are not ranked.
    """

    sweeps: list[str]
    left_out: int
    repeated: int
    sides: list[tuple[str, str, list[dict[str, Any]]]]
    ranks: MeanRanks | None

    @property
    def rows(self) -> bool:
        return any(rows for _, _, rows in self.sides)


def overall(recordings: Sequence[Recorded], sweeps: Sequence[RankedSweep]) -> Overall:
    """The mitigations of all recordings, ranked over their sweeps of this version's protocol."""
    repeats = set(papers())
    every = pd.concat([own.runs.assign(repeats=own.name in repeats) for own in recordings], ignore_index=True)
    runs = every[(every["protocol"] == PROTOCOL_VERSION) & ~every["repeats"]]
    compared = [own for own in sweeps if own.suite not in repeats]
    ranked = [own for own in compared if own.protocol == PROTOCOL_VERSION]
    board = rank_overall(runs, RULE)
    board = board[board["mitigation"] != BASELINE]
    masks = board["needs"].str.contains("masks|core")
    names = dict.fromkeys(f"{own.name} ({own.runs['seed'].nunique()} seeds)" for own in ranked)
    sides = [(title, text, [_cells(row) for row in board[masks == wanted].to_dict("records")])
             for title, text, wanted in SIDES]  # fmt: skip
    shown, left_out = [side for side in sides if side[2]], len(compared) - len(ranked)
    return Overall(list(names), left_out, len(sweeps) - len(compared), shown, mean_ranks_overall(runs, RULE))


def _cells(row: Mapping[Any, Any]) -> dict[str, Any]:
    gain, low, high = (row[f"gain{end}"] for end in ("", ":low", ":high"))
    return {
        "mitigation": row["mitigation"],
        "groups": row["needs"] == "groups",
        "gain": with_interval(gain, low, high),
        "colour": "good" if low > 0 else "bad" if high < 0 else "",
        "better": f"{row['better']} of {row['sweeps']}",
        "rank": f"{with_interval(row['rank'], row['rank:low'], row['rank:high'], 1)} of {row['of']:.0f}",
        "beaten": f"{row['beaten']:.0%}",
    }
