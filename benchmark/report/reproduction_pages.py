"""Reproductions as pages: a table of all published numbers, verdict first, and a page a cell with its command."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from ..ranking.cells import cell_of, cells
from ..ranking.join import COLUMNS, stack_of
from ..ranking.published import PUBLISHED, Published, published_by, suite_of
from ..ranking.verdict import JUDGEMENTS, Verdict
from .ranked_sweep import run_page
from .reproduction import FEW_SEEDS, cells_in_words, on_few_seeds, verdicts_in_words

COLOURS: Mapping[str, str] = {"reproduced": "good", "close": "near", "not reproduced": "bad"}
"""The class of a verdict on the page; other verdicts are quiet."""
SOURCES = "sources.tsv"
MOST_RUNS = 40
"""Links to runs on the page of a cell."""


@dataclass(frozen=True)
class Reproduction:
    """A paper's joined table, with the cell of each number where its published row is known.

    Attributes:
        table: as `results/reproduced/PAPER.csv` has it.
        cells: by row, the name of the cell; empty for numbers that rrrbench does not run.
        published: by cell, its published numbers.
        sources: addresses by the name of a source.
    """

    paper: str
    table: pd.DataFrame
    cells: list[str]
    published: Mapping[str, list[Published]]
    sources: Mapping[str, str]

    @property
    def summary(self) -> str:
        return verdicts_in_words(self.table)

    def rows(self) -> Iterator[dict[str, Any]]:
        """What the table of all numbers shows of each, rounded."""
        for row, cell in zip(self.table.to_dict("records"), self.cells, strict=True):
            yield {
                **cells_in_words(row),
                "paper": self.paper,
                "source": row["source"],
                "address": self.sources.get(row["source"], ""),
                "judged": row["verdict"],
                "caution": FEW_SEEDS if on_few_seeds(row) else "",
                "colour": COLOURS.get(row["verdict"], "absent"),
                "order": get_args(Verdict).index(row["verdict"]) if row["verdict"] in get_args(Verdict) else "",
                "points_value": "" if pd.isna(row["delta"]) else row["delta"],
                "cell": cell,
                "page": cell_page(self.paper, cell) if cell else "",
            }


def cell_page(paper: str, cell: str) -> str:
    """The page of a cell, from the folder of the pages."""
    return f"cells/{paper}-{cell.replace('/', '-')}.html"


def reproductions(results: Path) -> list[Reproduction]:
    """The joined tables of the committed results, those with the most measured numbers first."""
    found = []
    for path in sorted(results.glob("reproduced/*.csv")):
        table = pd.read_csv(path)
        if set(COLUMNS) <= set(table) and not path.stem.endswith("-part"):
            texts = [
                name for name in table if name in ("note", "verdict", "provenance", "source", "condition", "method")
            ]
            found.append(_reproduction(path.stem, table.fillna(dict.fromkeys(texts, ""))))
    return sorted(found, key=lambda paper: -int(paper.table["measured"].notna().sum()))


def cell_contents(found: Reproduction, pages: Collection[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each cell of a paper, the address of its page and the values that the template shows.

    Args:
        pages: the keys of the runs that have a page.
    """
    suite = suite_of(found.paper) if found.published else None
    rows = list(found.rows())
    for cell, published in found.published.items():
        own = [row for row in rows if row["cell"] == cell]
        stack = stack_of(published[0], suite) if suite is not None else None
        places = stack.places() if stack is not None else {}
        links = [(f"strength {strength:.3g}, seed {seed}", run_page(key))
                 for key, (strength, seed) in places.items() if key in pages]  # fmt: skip
        yield cell_page(found.paper, cell), {
            "paper": found.paper, "cell": cell, "rows": own, "runs": len(places), "stack": stack,
            "links": list(islice(links, MOST_RUNS)), "linked": len(links),
            "minutes": own[0]["minutes"] if own else "",
        }  # fmt: skip


def _reproduction(paper: str, table: pd.DataFrame) -> Reproduction:
    """A table with the cells of its rows, if its rows are those of the published table, in the same order."""
    rows = published_by(paper) if (PUBLISHED / f"{paper}.csv").is_file() else []
    names = ("source", "dataset", "method", "condition", "metric")
    said = [tuple(str(getattr(row, name)) for name in names) for row in rows]
    same = said == [tuple(map(str, row)) for row in table[list(names)].itertuples(index=False)]
    known = {cell_of(row) for row in rows} if same else set()
    names_of_rows = [cell_of(row) for row in rows] if same else [""] * len(table)
    published = {cell: own for cell, own in cells(rows).items() if cell in known}
    return Reproduction(paper, table, names_of_rows, published, _sources(paper))


def _sources(paper: str) -> dict[str, str]:
    path = PUBLISHED / SOURCES
    if not path.is_file():
        return {}
    table = pd.read_csv(path, sep="\t")
    own = table[table["paper"] == paper]
    return dict(zip(own["source"], own["address"], strict=True))


def count(results: Path) -> str:
    """How many published numbers of each paper were run again, and how many hold; a line a paper, and one of all."""
    found = reproductions(results)
    whole = pd.concat([paper.table for paper in found]) if found else pd.DataFrame(columns=COLUMNS)
    judged = int(whole["verdict"].isin(JUDGEMENTS).sum())
    lines = [f"{paper.paper}: {paper.summary}" for paper in found]
    return "\n".join([*lines, f"all: {judged} numbers run again: {verdicts_in_words(whole)}"])
