"""A folder of static pages from the records of suites: it opens from the disk and from any web host, offline."""

from __future__ import annotations

import gc
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pandas as pd
import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tqdm import tqdm

from ..metrics.column import Column
from ..ranking.leaderboard import cell, columns, leaderboard, render, unranked
from ..ranking.selection import RULES, SHIFTED
from ..store.frames import IDENTITY
from ..store.records import picture_name
from ..suite.protocol import PROTOCOL_VERSION
from . import interactive
from .points import SHOWN as PICTURED
from .points import leading, settings, shifted_metric
from .recorded import BESIDE, Recorded

if TYPE_CHECKING:
    from .twins import Twin

RULE = "knee"
"""The selection rule that a page shows first."""
TABLES = ("reproduced/*.csv", "leaderboard/explainers*.csv", "leaderboard/counterfactuals*.csv")
"""Committed results beside the leaderboard, each shown as a table as it is."""
HEADLINE = Column(
    "headline",
    "accuracy\nunder shift",
    "accuracy where the shortcut no longer helps: on the first of random, conflict, clean that the dataset has; "
    "bold: the best group, where intervals separate it from the others",
)
LIVENESS = Column(
    "liveness/end",
    "liveness",
    "norm of the right-reason term's gradient over the right-answer term's, at the end of training; 0: dead",
    interval=False,
)

_HERE = Path(__file__).parent


def _columns() -> list[Column]:
    return [HEADLINE, *(shown for shown in columns() if shown.id not in SHIFTED), LIVENESS]


@dataclass(frozen=True)
class Setting:
    """One dataset and network of a suite: a page of pictures.

    Attributes:
        slug: its name in addresses.
        pages: of each mitigation, masks and strength, the page of the first seed's run.
        boards: the leaderboard's rows, by rule.
    """

    suite: str
    dataset: str
    network: str
    slug: str
    runs: pd.DataFrame
    boards: dict[str, pd.DataFrame]
    pages: dict[tuple[str, str, float], str]

    def address(self, mitigation: str, masks: str, strength: float) -> str:
        """The page of the first seed's run, from the page of the setting; empty if there is no such run."""
        page = self.pages.get((mitigation, masks, strength))
        return f"../{page}" if page else ""


def write_site(recordings: Sequence[Recorded], out: Path, results: Path) -> None:
    """Writes the folder; what is there under the same names is replaced.

    Args:
        results: the folder of committed results, whose `TABLES` are shown.

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
    for name in ("settings", "runs", "figures", "data", "static"):
        (out / name).mkdir(parents=True, exist_ok=True)
    _write_static(out)
    for recording in recordings:
        if recording.pictures is not None:
            _copy_pictures(recording.pictures, recording.runs["sweep_key"], out / "pictures")
    pages = _Pages(out, list(_tables(results)))
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__, "rrrbench.benchmark.report.trade_off"])
    with ProcessPoolExecutor(2, context, gc.set_threshold, (100_000,)) as beside:  # figures are many objects
        every = [setting for recording in recordings for setting in _settings(recording, beside)]
        parts = [beside.submit(_write_metrics, pages)]
        parts += [beside.submit(_save_figures, setting, pages) for setting in every]
        written: set[str] = set()
        for setting in every:
            keys = set(setting.runs["run_key"]) - written  # a run of two suites has one page
            parts.append(beside.submit(_write_runs, setting, pages, keys))
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


def _write_pages(recordings: Sequence[Recorded], every: Sequence[Setting], pages: _Pages) -> None:
    """All but the pages of runs and metrics."""
    rows = [row for setting in every for rule, board in setting.boards.items() for row in _rows(setting, rule, board)]
    left_out = [
        (recording.name, row) for recording in recordings for row in unranked(recording.runs, RULE).to_dict("records")
    ]
    pages.write(
        "index.html", "index.html", suites=recordings, settings=every, rows=rows, columns=_columns(), left_out=left_out,
        rules=RULES, rule=RULE, runs=sum(len(recording.runs) for recording in recordings),
    )  # fmt: skip
    if pages.tables:
        pages.write("tables.html", "tables.html")
    for recording in recordings:
        boards = [b for setting in every if setting.suite == recording.name for b in setting.boards.values()]
        (pages.out / "data" / f"{recording.name}.csv").write_text(render(pd.concat(boards), "csv"))
    for setting in every:
        pictures = _pictures(setting)
        pages.write("setting.html", f"settings/{setting.slug}.html", setting=setting, pictures=pictures, rule=RULE)


def _write_static(out: Path) -> None:
    from plotly.offline import get_plotlyjs

    (out / "static" / "plotly.min.js").write_text(get_plotlyjs())
    for file in (_HERE / "static").iterdir():
        shutil.copy(file, out / "static" / file.name)


def _page(run_key: str) -> str:
    return f"runs/{run_key[:16]}.html"


def _settings(recording: Recorded, beside: Executor) -> Iterator[Setting]:
    found = list(settings(recording.runs))
    ranked = [{rule: beside.submit(leaderboard, runs, rule) for rule in RULES} for *_, runs in found]
    for (dataset, network, runs), boards in zip(found, ranked, strict=True):
        slug = re.sub(r"[^a-z0-9]+", "-", f"{recording.name} {dataset} {network}".lower()).strip("-")
        first = runs.sort_values("seed").drop_duplicates(["mitigation", "masks", "strength"])
        places = first[["mitigation", "masks", "strength", "run_key"]].itertuples(index=False)
        pages = {(mitigation, masks, strength): _page(key) for mitigation, masks, strength, key in places}
        by_rule = {rule: board.result() for rule, board in boards.items()}
        yield Setting(recording.name, dataset, network, slug, runs, by_rule, pages)


def _rows(setting: Setting, rule: str, board: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """A row of the index's table: names, cells as text, and the numbers that they are sorted by."""
    best, headline = leading(board), shifted_metric(board)
    for (_, row), leads in zip(board.iterrows(), best, strict=True):
        cells = []
        for shown in _columns():
            metric = headline if shown is HEADLINE else shown.id
            numbers = [row.get(f"{metric}{end}", float("nan")) for end in ("", ":low", ":high")]
            text = cell(shown, *numbers)
            cells.append((text, "" if text == "-" else f"{numbers[0]:.6g}", shown is HEADLINE and leads))
        yield {
            "suite": setting.suite,
            "dataset": setting.dataset,
            "network": setting.network,
            "mitigation": row["mitigation"],
            "needs": row["needs"] or "labels alone",
            "masks": row["masks"],
            "rule": rule,
            "strength": row["strength"],
            "seeds": row["seeds"],
            "note": row["note"],
            "cells": cells,
            "setting": f"settings/{setting.slug}.html",
            "page": setting.address(row["mitigation"], row["masks"], row["strength"]).removeprefix("../"),
        }


def _pictures(setting: Setting) -> list[tuple[str, str, str]]:
    """Of each picture of a setting: its title, what it shows in words, and its JSON."""
    runs, board, address = setting.runs, setting.boards[RULE], setting.address
    drawn = [
        ("Accuracy under shift against reliance",
         "One point a strength, one line a mitigation; the larger, ringed one is what the rule chose. Up and to the "
         "left is better.",
         interactive.trade_off(runs, board, address) if shifted_metric(runs) else None),
        *((f"{PICTURED[metric]} over strength",
           "Mean over seeds with its 95 % bootstrap interval. ERM and the best ones are shown; the legend adds others.",
           interactive.sweep(runs, board, metric, address)) for metric in PICTURED if metric in runs),
        ("How many masks are needed",
         "Accuracy under shift where only some training inputs have a mask; each at the strength chosen for it.",
         interactive.mask_fraction(board, address)),
        ("What wrong masks cost",
         "Accuracy under shift by what the masks were; a mitigation that works by its masks falls towards the right.",
         interactive.mask_corruption(board, address)),
    ]  # fmt: skip
    return [(title, text, _json(picture)) for title, text, picture in drawn if picture is not None]


def _save_figures(setting: Setting, pages: _Pages) -> None:
    from .curves import save, sweep_figure  # and matplotlib, which the other pages do without
    from .trade_off import trade_off_figure

    board, folder = setting.boards[RULE], pages.out / "figures"
    title = f"{setting.dataset}, {setting.network}"
    vectors = (".svg", ".pdf")
    save(trade_off_figure(setting.runs, board, title), folder / f"{setting.slug}-trade-off", vectors)
    save(sweep_figure(setting.runs, setting.suite), folder / f"{setting.slug}-sweep", vectors)
    (folder / f"{setting.slug}.tex").write_text(render(board, "tex", unranked(setting.runs, RULE)))


def _write_metrics(pages: _Pages) -> None:
    from ..metrics.base import metrics  # and torch, which the other pages do without

    pages.write("metrics.html", "metrics.html", metrics=list(metrics))


def _write_runs(setting: Setting, pages: _Pages, keys: set[str]) -> None:
    for content in _runs(setting, keys, pages.out):
        pages.write("run.html", _page(content["run"]["run_key"]), setting=setting, **content)


def _runs(setting: Setting, keys: set[str], out: Path) -> Iterator[dict[str, Any]]:
    """What the page of each of these runs of a setting shows."""
    runs = setting.runs.sort_values(["mitigation", "masks", "strength", "seed"]).astype(object).to_dict("records")
    measured = [name for name in setting.runs if name not in (*IDENTITY, *BESIDE)]
    for _, group in groupby(runs, key=itemgetter("mitigation", "masks")):
        sweep = list(group)
        with_strength = any(run["strength"] > 0 for run in sweep)
        siblings = [(run["strength"], run["seed"], _page(run["run_key"])) for run in sweep]
        for run in (run for run in sweep if run["run_key"] in keys):
            configuration, curves = json.loads(run["configuration"]), json.loads(run["curves"] or "{}")
            picture = out / "pictures" / run["sweep_key"] / picture_name(run["mitigation"], run["masks"])
            shown, reason = _twins(configuration, run["flips"])
            yield {
                "run": run,
                "metrics": {name: f"{run[name]:.4g}" for name in measured if run[name] == run[name]},
                "configuration": json.dumps(configuration, indent=2),
                "suite_file": suite_file(configuration, with_strength),
                "curves": _json(interactive.curves(curves)) if curves else "",
                "picture": quote(picture.relative_to(out).as_posix()) if picture.is_file() else "",
                "twins": shown,
                "no_twins": reason,
                "strengths": {strength: page for strength, seed, page in siblings if seed == run["seed"]},
                "seeds": {seed: page for strength, seed, page in siblings if strength == run["strength"]},
            }


def suite_file(configuration: dict[str, Any], has_strength: bool) -> str:
    """A suite of this one run: its key is the run's, because a key is of the configuration alone."""
    mitigation: dict[str, Any] = {"mitigation": configuration["mitigation"]}
    if has_strength:
        mitigation["strengths"] = [configuration["strength"]]
    sweep = {
        "dataset": {name: value for name, value in configuration["dataset"].items() if name != "version"},
        "network": configuration["network"],
        "training": configuration["training"],
        "mitigations": [mitigation],
    }
    suite = {"seeds": [configuration["seed"]], "explainers": configuration.get("explainers", []), "sweeps": [sweep]}
    return tomli_w.dumps(_without_none({name: value for name, value in suite.items() if value}))


def _without_none(value: Any) -> Any:
    """TOML has no null; what is None is so by default."""
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _twins(configuration: dict[str, Any], flips: str) -> tuple[Sequence[Twin], str]:
    """The twins on which a run's prediction flips, or why there are none to show."""
    if not flips:
        return [], "the run was recorded without the list of its flips"
    named = json.loads(flips)
    if not named:
        return [], "no prediction flips, or the run was not evaluated on twins"
    from .twins import twins  # and torch, which the other pages do without

    try:
        return twins(configuration, named), ""
    except (LookupError, OSError, ValueError) as error:
        return [], str(error)


def _tables(results: Path) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Each csv among the committed results: its name, header, and rows."""
    for pattern in TABLES:
        for path in sorted(results.glob(pattern)):
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
            yield path.relative_to(results).as_posix(), list(table.columns), table.to_numpy().tolist()
    submitted = [json.loads(path.read_text()) for path in sorted(results.glob("submissions/*.json"))]
    rows = pd.DataFrame([result for row in submitted for result in row["results"]])
    if not rows.empty:
        yield "submissions", *_submissions(rows)


def _submissions(rows: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The rows that pull requests added, in the index's columns."""
    names = ["mitigation", "dataset", "network", "needs"]
    table = rows[names].assign(strength=rows["strength"].map("{:.3g}".format))
    metric = shifted_metric(rows)
    for shown in _columns():
        ids = [f"{metric if shown is HEADLINE else shown.id}{end}" for end in ("", ":low", ":high")]
        values = rows.reindex(columns=ids).itertuples(index=False)
        table[shown.title.replace("\n", " ")] = [cell(shown, *numbers) for numbers in values]
    return list(table.columns), table.to_numpy().tolist()


def _json(picture: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(picture, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
