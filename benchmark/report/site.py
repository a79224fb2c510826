"""A folder of static pages from the records of suites: it opens from the disk and from any web host, offline."""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tqdm import tqdm

from ..ranking.leaderboard import rank_mitigations, unranked_mitigations
from ..ranking.rendering import cell, render_mitigations
from ..ranking.selection import RULES
from ..ranking.sweeps import SweepName
from ..suite.protocol import PROTOCOL_VERSION
from . import interactive
from .points import SHOWN as PICTURED
from .points import by_sweep, leading, shifted_metric
from .recorded import Recorded
from .run_page import address, embedded, run_pages
from .tables import HEADLINE, committed_tables, page_columns

RULE = "knee"
"""The selection rule that a page shows first."""
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class SweepPage:
    """A sweep of a suite: a page of pictures.

    Attributes:
        name: dataset, network, and what differs from the other sweeps of the suite.
        slug: its name in addresses.
        runs: its flat rows.
        boards: the leaderboard's rows, by rule.
        pages: of each mitigation, masks and strength, the page of the first seed's run.
    """

    suite: str
    name: SweepName
    slug: str
    runs: pd.DataFrame
    boards: dict[str, pd.DataFrame]
    pages: dict[tuple[str, str, float], str]

    @property
    def network(self) -> str:
        """The network, and what differs from the other sweeps of the suite: `mlp, epochs=2`."""
        return ", ".join(filter(None, (self.name.network, self.name.difference)))

    @property
    def protocol(self) -> str:
        return str(self.runs["protocol"].iat[0])

    def address(self, mitigation: str, masks: str, strength: float) -> str:
        """The page of the first seed's run, from the page of the sweep; empty if there is no such run."""
        page = self.pages.get((mitigation, masks, strength))
        return f"../{page}" if page else ""


def write_site(recordings: Sequence[Recorded], out: Path, results: Path) -> None:
    """Writes the folder; what is there under the same names is replaced.

    Args:
        results: the folder of committed results, whose tables are shown.

    Raises:
        OSError: the folder cannot be written.
        ValueError: a suite without any of the metrics that pages draw, such as a suite of counterfactual explainers.
    """
    for recording in recordings:
        if not any(metric in recording.runs for metric in PICTURED):
            raise ValueError(
                f"suite {recording.name!r} has no pages: its runs have none of {', '.join(PICTURED)}; its table is "
                f"`rrrbench leaderboard {recording.name}`"
            )
    for name in ("sweeps", "runs", "figures", "data", "static"):
        (out / name).mkdir(parents=True, exist_ok=True)
    _write_static(out)
    for recording in recordings:
        if recording.pictures is not None:
            _copy_pictures(recording.pictures, recording.runs["sweep_key"], out / "pictures")
    pages = _Pages(out, list(committed_tables(results)))
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "rrrbench.benchmark.report.trade_off"])
    with ProcessPoolExecutor(2, context, gc.set_threshold, (100_000,)) as beside:  # figures are many objects
        every = [sweep for recording in recordings for sweep in _sweeps(recording, beside)]
        parts = [beside.submit(_write_metrics, pages)]
        parts += [beside.submit(_save_figures, sweep, pages) for sweep in every]
        written: set[str] = set()
        for sweep in every:
            keys = set(sweep.runs["run_key"]) - written  # a run of two suites has one page
            parts.append(beside.submit(_write_runs, sweep, pages, keys))
            written |= keys
        _write_pages(recordings, every, pages)
        for part in tqdm(parts, desc="figures and pages of runs", disable=None):
            part.result()


def _copy_pictures(pictures: Path, sweep_keys: pd.Series, out: Path) -> None:
    """Copies the pictures of these sweeps; a sweep may have none."""
    for sweep_key in set(sweep_keys):
        if (pictures / sweep_key).is_dir():
            shutil.copytree(pictures / sweep_key, out / sweep_key, dirs_exist_ok=True)


@dataclass(frozen=True)
class _Pages:
    """The folder, and what every page of it shows."""

    out: Path
    tables: list[tuple[str, list[str], list[list[str]]]]

    def write(self, template: str, page: str, **content: Any) -> None:
        shared = {"protocol": PROTOCOL_VERSION, "root": "../" * page.count("/"), "tables": self.tables}
        (self.out / page).write_text(_templates().get_template(template).render(shared | content))


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _write_pages(recordings: Sequence[Recorded], every: Sequence[SweepPage], pages: _Pages) -> None:
    """All but the pages of runs and metrics."""
    rows = [row for sweep in every for rule, board in sweep.boards.items() for row in _rows(sweep, rule, board)]
    left_out = [(sweep, row) for sweep in every for row in unranked_mitigations(sweep.runs, RULE).to_dict("records")]
    pages.write(
        "index.html", "index.html", suites=recordings, sweeps=every, rows=rows, columns=page_columns(),
        left_out=left_out, rules=RULES, rule=RULE, runs=sum(len(recording.runs) for recording in recordings),
    )  # fmt: skip
    if pages.tables:
        pages.write("tables.html", "tables.html")
    for recording in recordings:
        boards = [b for sweep in every if sweep.suite == recording.name for b in sweep.boards.values()]
        (pages.out / "data" / f"{recording.name}.csv").write_text(render_mitigations(pd.concat(boards), "csv"))
    for sweep in every:
        pictures = _pictures(sweep)
        pages.write("sweep.html", f"sweeps/{sweep.slug}.html", sweep=sweep, pictures=pictures, rule=RULE)


def _write_static(out: Path) -> None:
    from plotly.offline import get_plotlyjs

    (out / "static" / "plotly.min.js").write_text(get_plotlyjs())
    for file in (_HERE / "static").iterdir():
        shutil.copy(file, out / "static" / file.name)


def _sweeps(recording: Recorded, beside: Executor) -> Iterator[SweepPage]:
    found = list(by_sweep(recording.runs))
    ranked = [{rule: beside.submit(rank_mitigations, runs, rule) for rule in RULES} for *_, runs in found]
    for (_, name, runs), boards in zip(found, ranked, strict=True):
        slug = re.sub(r"[^a-z0-9]+", "-", " ".join((recording.name, *name)).lower()).strip("-")
        first = runs.sort_values("seed").drop_duplicates(["mitigation", "masks", "strength"])
        places = first[["mitigation", "masks", "strength", "run_key"]].itertuples(index=False)
        pages = {(mitigation, masks, strength): address(key) for mitigation, masks, strength, key in places}
        by_rule = {rule: board.result() for rule, board in boards.items()}
        yield SweepPage(recording.name, name, slug, runs, by_rule, pages)


def _rows(sweep: SweepPage, rule: str, board: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A row of the index's table: names, cells as text, and the numbers that they are sorted by."""
    best, headline = leading(board), shifted_metric(board)
    for (_, row), leads in zip(board.iterrows(), best, strict=True):
        cells = []
        for shown in page_columns():
            metric = headline if shown is HEADLINE else shown.id
            numbers = [row.get(f"{metric}{end}", float("nan")) for end in ("", ":low", ":high")]
            text = cell(shown, *numbers)
            cells.append((text, "" if text == "-" else f"{numbers[0]:.6g}", shown is HEADLINE and leads))
        yield {
            "suite": sweep.suite,
            "dataset": sweep.name.dataset,
            "network": sweep.network,
            "mitigation": row["mitigation"],
            "needs": row["needs"] or "labels alone",
            "masks": row["masks"],
            "rule": rule,
            "strength": row["strength"],
            "seeds": row["seeds"],
            "note": row["note"],
            "cells": cells,
            "protocol": sweep.protocol,
            "sweep": f"sweeps/{sweep.slug}.html",
            "page": sweep.address(row["mitigation"], row["masks"], row["strength"]).removeprefix("../"),
        }


def _pictures(sweep: SweepPage) -> list[tuple[str, str, str]]:
    """Of each picture of a sweep: its title, what it shows in words, and its JSON."""
    runs, board, page_of = sweep.runs, sweep.boards[RULE], sweep.address
    drawn = [
        ("Accuracy under shift against reliance",
         "One point a strength, one line a mitigation; the larger, ringed one is what the rule chose. Up and to the "
         "left is better.",
         interactive.trade_off(runs, board, page_of) if shifted_metric(runs) else None),
        *((f"{PICTURED[metric]} over strength",
           "Mean over seeds with its 95 % bootstrap interval. ERM and the best ones are shown; the legend adds others.",
           interactive.sweep(runs, board, metric, page_of)) for metric in PICTURED if metric in runs),
        ("How many masks are needed",
         "Accuracy under shift where only some training inputs have a mask; each at the strength chosen for it.",
         interactive.mask_fraction(board, page_of)),
        ("What wrong masks cost",
         "Accuracy under shift by what the masks were; a mitigation that works by its masks falls towards the right.",
         interactive.mask_corruption(board, page_of)),
    ]  # fmt: skip
    return [(title, text, embedded(picture)) for title, text, picture in drawn if picture is not None]


def _save_figures(sweep: SweepPage, pages: _Pages) -> None:
    from .curves import save, sweep_figure  # and matplotlib, which the other pages do without
    from .trade_off import trade_off_figure

    board, folder = sweep.boards[RULE], pages.out / "figures"
    title = str(sweep.name)
    vectors = (".svg", ".pdf")
    save(trade_off_figure(sweep.runs, board, title), folder / f"{sweep.slug}-trade-off", vectors)
    save(sweep_figure(sweep.runs, sweep.suite), folder / f"{sweep.slug}-sweep", vectors)
    (folder / f"{sweep.slug}.tex").write_text(render_mitigations(board, "tex", unranked_mitigations(sweep.runs, RULE)))


def _write_metrics(pages: _Pages) -> None:
    from ..metrics.base import metrics  # and torch, which the other pages do without

    pages.write("metrics.html", "metrics.html", metrics=list(metrics))


def _write_runs(sweep: SweepPage, pages: _Pages, keys: set[str]) -> None:
    for content in run_pages(sweep.runs, keys, pages.out):
        pages.write("run.html", address(content["run"]["run_key"]), sweep=sweep, **content)
