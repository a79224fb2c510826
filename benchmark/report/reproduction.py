"""The page of a paper's reproduction: published numbers beside measured numbers, as text and as a file."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from tabulate import tabulate

from ..ranking.inert import csv
from ..ranking.rendering import STYLES, Format
from ..ranking.verdict import DIGITS, ENOUGH_SEEDS, JUDGEMENTS, REPRODUCED, Verdict
from ..store.provenance import provenance
from ..suite.protocol import PROTOCOL_VERSION
from ..suite.sweep import Suite

FEW_SEEDS = (
    f"A verdict on fewer than {ENOUGH_SEEDS} seeds (trainings that differ by chance alone) compares points and knows "
    "nothing of how far trainings differ: take it for a first look, and run more seeds before you rely on it."
)
"""What stands below a table in which a verdict rests on few seeds."""


def render_reproduction(table: pd.DataFrame, format: Format = "table", dim: Callable[[str], str] = str) -> str:
    """A joined table, a block a source, as text for a terminal or as Markdown with the notes.

    Args:
        table: of `join_runs`.
        dim: changes the look of recalled numbers.

    Returns:
        The text, which ends with `FEW_SEEDS` if it has such a row.
    """
    titles = ["dataset", "method", "condition", "metric", "published (runs)", "measured ± sd (seeds)", "points",
              "95 % prediction", "verdict", "minutes", "provenance", "note"]  # fmt: skip
    shown = len(titles) if format == "md" else len(titles) - 1
    blocks = []
    for source, rows in table.groupby("source", sort=False):
        lines = []
        for row in rows.to_dict("records"):
            look = dim if row["provenance"] == "recalled" else str
            lines.append([look(cell) if cell else cell for cell in list(cells_in_words(row).values())[:shown]])
        heading = f"### {source}\n" if format == "md" else str(source)
        blocks.append(f"{heading}\n{tabulate(lines, titles[:shown], STYLES[format], disable_numparse=True)}")
    if any(map(on_few_seeds, table.to_dict("records"))):
        blocks.append(FEW_SEEDS)
    return "\n\n".join(blocks)


def cells_in_words(row: Mapping[Any, Any]) -> dict[str, str]:
    """A row of a joined table, rounded: `published (runs)`, `measured ± sd (seeds)`, and so on."""
    known = {name for name, value in row.items() if not pd.isna(value)}
    spread, sd = (f" ± {_number(row[name])}" if name in known else "" for name in ("spread", "sd"))
    return {
        **{name: str(row[name]) for name in ("dataset", "method", "condition", "metric")},
        "published": (f"{_number(row['published'])}{spread}" if "published" in known else "")
        + (f" ({row['seeds']:.0f})" if "seeds" in known else ""),
        "measured": f"{_number(row['measured'])}{sd} ({row['n']})" if "measured" in known else "",
        "points": f"{row['delta']:+.1f}" if "delta" in known else "",
        "interval": f"[{_number(row['low'])}, {_number(row['high'])}]" if "low" in known else "",
        "verdict": row["verdict"] + (f", but on {_seeds(row['n'])} only" if on_few_seeds(row) else ""),
        "minutes": f"{row['minutes']:.1f}" if "minutes" in known else "",
        "provenance": row["provenance"],
        "note": row["note"],
    }


def on_few_seeds(row: Mapping[Any, Any]) -> bool:
    """Whether a row of a joined table has a verdict, on so few seeds that readers are told."""
    return row["verdict"] in JUDGEMENTS and row["n"] < ENOUGH_SEEDS


def _seeds(count: int) -> str:
    return f"{count} seed" if count == 1 else f"{count} seeds"


def verdicts_in_words(table: pd.DataFrame) -> str:
    """`2 reproduced (1 of them by the interval alone), 1 close`: how many rows of a joined table have each verdict."""
    counts = table["verdict"].value_counts()
    said = {name: f"{counts[name]} {name}" for name in get_args(Verdict) if name in counts}
    apart = table["delta"].astype(float).abs().round(DIGITS) > REPRODUCED
    if by_interval := int((apart & (table["verdict"] == "reproduced")).sum()):
        said["reproduced"] += f" ({by_interval} of them by the interval alone)"
    return ", ".join(said.values())


def write_reproduction(paper: str, table: pd.DataFrame, suite: Suite, runs: pd.DataFrame, folder: Path) -> Path:
    """Writes the joined table as PAPER.csv and the page as PAPER.md; as PAPER-part.* where a table of more runs stands.

    Args:
        runs: the flat rows of the suite's runs.

    Returns:
        The path of the table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{paper}.csv"
    if path.exists() and pd.read_csv(path)["n"].sum() > table["n"].sum():
        path = folder / f"{paper}-part.csv"
    text = _page(paper, table, suite, runs)  # names the commit, so before a file of it changes
    path.write_text(csv(table))
    path.with_suffix(".md").write_text(text)
    return path


def _page(paper: str, table: pd.DataFrame, suite: Suite, runs: pd.DataFrame) -> str:
    """The Markdown page: the runs, the code and the machine that made them, and the table."""
    return "\n".join(
        [
            f"# {paper}: published beside measured",
            "",
            suite.description,
            "",
            _origin(paper, suite, runs) + f" Verdicts as in RULES.md: {verdicts_in_words(table)}.",
            "",
            render_reproduction(table, "md", dim=lambda text: f"*{text}*"),
            "",
            "Points are hundredths of a metric's range. Recalled numbers, in italics, get no verdict.",
            "",
        ]
    )


def _origin(paper: str, suite: Suite, runs: pd.DataFrame) -> str:
    """The command, commit, machine, protocol and runs of a page, in sentences."""
    made = provenance()
    commit = made["git_commit"][:12] + (" with uncommitted changes" if made["dirty"] == "true" else "")
    counts = runs["git_commit"].value_counts() if len(runs) else {}
    trained = ", ".join(f"{count} at {str(name)[:12]}" for name, count in counts.items()) or "none"
    minutes = float(runs.reindex(columns=["seconds", "seconds/setup"]).sum().sum()) / 60
    versions = ", ".join(f"{name} {version(name)}" for name in ("rrrbench", "torch", "numpy"))
    return (
        f"Made by `rrrbench reproduce {paper}` under protocol {PROTOCOL_VERSION} at commit {commit}: {versions}, "
        f"Python {platform.python_version()}, {os.cpu_count()} cores. Of {len(suite.keys())} runs {len(runs)} are "
        f"recorded, {minutes:.0f} minutes of training by each run's own count ({trained})."
    )


def _number(value: float) -> str:
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3f}"
