"""A folder of static pages from the runs of suites: it opens from the disk and from any web host, offline."""

from __future__ import annotations

import gc
import shlex
import shutil
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tqdm import tqdm

from ..ranking.leaderboard import unranked_mitigations
from ..ranking.rendering import protocols_in_words, render_mitigations
from ..ranking.selection import RULES
from ..ranking.sweeps import SWEEP
from ..running.main_module import main_module_left_alone
from ..suite.protocol import PROTOCOL_VERSION
from .index import Table, board_columns, board_rows, committed_tables, opening_suite, submitted_board_rows
from .overall import overall
from .points import DRAWN
from .ranked_sweep import RULE, RankedSweep, rank_sweeps
from .recorded import Recorded, copy_pictures
from .reproduction_pages import Reproduction, cell_contents, reproductions
from .run_page import run_contents
from .sweep_page import save_figures, sweep_pictures

_HERE = Path(__file__).parent


def write_site(recordings: Sequence[Recorded], out: Path, results: Path) -> None:
    """Writes the folder; files that are there under the same names are replaced.

    Args:
        results: the folder of committed results, shown as tables.

    Raises:
        OSError: the folder cannot be written.
        ValueError: two suites of one name; a suite without any of the metrics that pages draw, such as a suite of
            counterfactual explainers.
    """
    for recording in recordings:
        _check(recording)
    names = [recording.name for recording in recordings]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(
            f"two of these suites or files are called {twice[0]!r}, and so would be their pages: rename one"
        )
    for name in ("sweeps", "runs", "figures", "data", "static", "cells"):
        (out / name).mkdir(parents=True, exist_ok=True)
    _write_static(out)
    for recording in recordings:
        if recording.pictures is not None:
            copy_pictures(recording.pictures, recording.runs["sweep_key"], out / "pictures")
    protocols = protocols_in_words(pd.concat([recording.runs[SWEEP] for recording in recordings]))
    papers = reproductions(results)
    pages = _Pages(out, results, list(committed_tables(results)), bool(papers), protocols)
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "rrrbench.benchmark.report.trade_off"])
    workers = ProcessPoolExecutor(2, context, gc.set_threshold, (100_000,))  # figures are many objects
    with main_module_left_alone(), workers as beside:
        sweeps = rank_sweeps(recordings, beside)
        parts = _begin(sweeps, pages, papers, beside)
        _write_pages(recordings, sweeps, pages)
        for part in tqdm(parts, desc="figures and pages of runs", disable=None):
            part.result()


@dataclass(frozen=True)
class _Pages:
    """The folder, and what every page of it shows."""

    out: Path
    results: Path
    tables: list[Table]
    reproduced: bool
    protocols: str

    def submitted(self, sweeps: Sequence[RankedSweep]) -> list[dict[str, Any]]:
        """Rows of submissions for the leaderboard."""
        return submitted_board_rows(self.results, sweeps)

    def write(self, template: str, page: str, **content: Any) -> None:
        """Renders a template to a page, a path from the folder."""
        shared = {"protocols": self.protocols, "current": PROTOCOL_VERSION}
        shared |= {"tables": self.tables, "reproduced": self.reproduced}
        text = _templates().get_template(template).render(shared | {"root": "../" * page.count("/")} | content)
        (self.out / page).write_text(text)


def _check(recording: Recorded) -> None:
    if not any(metric in recording.runs for metric in DRAWN):
        table = f"; its table is `rrrbench leaderboard {shlex.quote(recording.named)}`" if recording.named else ""
        raise ValueError(f"suite {recording.name!r} has no pages: its runs have none of {', '.join(DRAWN)}{table}")


def _begin(
    sweeps: Sequence[RankedSweep], pages: _Pages, papers: Sequence[Reproduction], beside: Executor
) -> list[Future[None]]:
    """Begins in processes `beside` the figures, the pages of metrics, of reproductions and of runs."""
    keys = {str(key) for sweep in sweeps for key in sweep.runs["run_key"]}
    parts = [beside.submit(_write_metrics, pages)]
    parts += [beside.submit(_write_reproductions, papers, keys, pages)] if papers else []
    parts += [beside.submit(save_figures, sweep, pages.out) for sweep in sweeps]
    written: set[str] = set()
    for sweep in sweeps:
        own = set(sweep.runs["run_key"]) - written  # a run of two suites has one page
        parts.append(beside.submit(_write_runs, sweep, pages, own))
        written |= own
    return parts


@cache
def _templates() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _write_pages(recordings: Sequence[Recorded], sweeps: Sequence[RankedSweep], pages: _Pages) -> None:
    """Writes all pages but those of runs and metrics, and every suite's csv."""
    pages.write(
        "index.html", "index.html", suites=recordings, opening=opening_suite(recordings), sweeps=sweeps,
        columns=board_columns(),
        rows=[*(row for own in sweeps for row in board_rows(own)), *pages.submitted(sweeps)],
        left_out=[row for own in sweeps for row in _left_out(own)], rules=RULES, rule=RULE,
        overall=overall(recordings, sweeps), runs=sum(len(recording.runs) for recording in recordings),
    )  # fmt: skip
    if pages.tables:
        pages.write("tables.html", "tables.html")
    for recording in recordings:
        boards = [board for own in sweeps if own.suite == recording.name for board in own.boards.values()]
        (pages.out / "data" / f"{recording.name}.csv").write_text(render_mitigations(pd.concat(boards), "csv"))
    for own in sweeps:
        pages.write("sweep.html", own.page, sweep=own, pictures=sweep_pictures(own), rule=RULE)


def _left_out(sweep: RankedSweep) -> list[dict[str, Any]]:
    """The mitigations of a sweep that are not ranked, with the names of suite and sweep."""
    rows = unranked_mitigations(sweep.runs, RULE)[["mitigation", "masks", "reason"]].to_dict("records")
    return [{**row, "sweep": str(sweep.name), "suite": sweep.suite} for row in rows]  # pyrefly: ignore


def _write_static(out: Path) -> None:
    from plotly.offline import get_plotlyjs

    (out / "static" / "plotly.min.js").write_text(get_plotlyjs())
    for file in (_HERE / "static").iterdir():
        shutil.copy(file, out / "static" / file.name)


def _write_metrics(pages: _Pages) -> None:
    from ..metrics.base import metrics  # and torch, which the other pages do without

    pages.write("metrics.html", "metrics.html", metrics=list(metrics))


def _write_reproductions(papers: Sequence[Reproduction], keys: set[str], pages: _Pages) -> None:
    rows = sorted((row for paper in papers for row in paper.rows()), key=lambda row: not row["measured"])
    pages.write("reproduced.html", "reproduced.html", papers=papers, rows=rows)
    for paper in papers:
        for page, content in cell_contents(paper, keys):
            pages.write("cell.html", page, **content)


def _write_runs(sweep: RankedSweep, pages: _Pages, keys: set[str]) -> None:
    for page, content in run_contents(sweep, keys, pages.out):
        pages.write("run.html", page, sweep=sweep, **content)
