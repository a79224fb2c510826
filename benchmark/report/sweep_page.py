"""The page of a sweep: its pictures as JSON for the page's script, and its figures and table for papers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..ranking.leaderboard import unranked_mitigations
from ..ranking.rendering import render_mitigations
from . import interactive
from .points import DRAWN, trade_offs, trusted
from .ranked_sweep import RULE, RankedSweep


def sweep_pictures(sweep: RankedSweep) -> list[tuple[str, str, str]]:
    """The pictures of a sweep: of each its title, a sentence, and its JSON."""
    runs, board, address = sweep.runs, sweep.boards[RULE], sweep.address
    measured = trusted(runs).dropna(axis="columns", how="all")
    drawn = [
        ("Accuracy under shift against reliance",
         "One point a strength, one line a mitigation; the rule chose the larger, ringed point, which has its 95 % "
         "interval. Flip rate: the share of predictions that change when the shortcut alone does. Up and to the left "
         "is better. ERM and the best five have names; point at a grey line to read its name.",
         interactive.trade_off(runs, board, address) if trade_offs(runs) else None),
        *((f"{DRAWN[metric]} over strength",
           "Mean over seeds with its 95 % t interval. ERM and the best five have names; the others are grey.",
           interactive.sweep(runs, board, metric, address)) for metric in DRAWN if metric in measured),
        ("How many masks are needed",
         "Accuracy under shift where only some training inputs have a mask; each at the strength chosen for it.",
         interactive.mask_fraction(board, address)),
        ("What wrong masks cost",
         "Accuracy under shift by the kind of masks; a mitigation that works by its masks falls towards the right.",
         interactive.mask_corruption(board, address)),
    ]  # fmt: skip
    return [(title, text, json_for_script(picture)) for title, text, picture in drawn if picture is not None]


def save_figures(sweep: RankedSweep, out: Path) -> None:
    """Writes the sweep's figures as vectors and its table as LaTeX."""
    from .curves import save, sweep_figure  # and matplotlib, which the other pages do without
    from .trade_off import trade_off_figure

    board, folder = sweep.boards[RULE], out / "figures"
    title = str(sweep.name)
    vectors = (".svg", ".pdf")
    save(trade_off_figure(sweep.runs, board, title), folder / f"{sweep.slug}-trade-off", vectors)
    save(sweep_figure(sweep.runs, sweep.suite, board), folder / f"{sweep.slug}-sweep", vectors)
    (folder / f"{sweep.slug}.tex").write_text(render_mitigations(board, "tex", unranked_mitigations(sweep.runs, RULE)))


def json_for_script(picture: Any) -> str:
    """JSON that may stand in a script element."""
    return json.dumps(picture, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
