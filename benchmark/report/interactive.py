"""The pictures of a sweep's page, for Plotly: plain dictionaries of its schema, which the page's script draws."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import pandas as pd

from ..ranking.statistics import with_interval
from .points import DRAWN, annotated_inputs, chosen, over_strengths, shifted_metric, trade_offs, trusted

Picture = dict[str, Any]
"""`data` and `layout`; a point's `customdata` is the address of its run's page."""
Address = Callable[[str, str, float], str]
"""The address of the run with a mitigation, masks and a strength, of the first seed, in one sweep."""

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#7f7f7f", "#e41a1c", "#6a3d9a", "#2f8f8f")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
LEADERS = 6
"""Mitigations that a picture with many lines shows at first; a click in the legend shows the others."""


def trade_off(runs: pd.DataFrame, board: pd.DataFrame, address: Address) -> Picture:
    """Accuracy under shift against flip rate, one point a strength; the chosen strength is ringed."""
    traces = []
    for which, (mitigation, line) in enumerate(trade_offs(runs)):
        color, pick = PALETTE[which % len(PALETTE)], chosen(board, mitigation)
        traces.append(
            {
                "name": _plain(mitigation),
                "mode": "lines+markers",
                "x": _rounded(line["reliance"]),
                "y": _rounded(line["accuracy"]),
                "line": {"color": color, "width": 1, "dash": DASHES[which // 10 % 4]},
                "marker": {
                    "color": color,
                    "symbol": SYMBOLS[which // 10 % 4],
                    "opacity": 1,
                    "size": [13 if strength == pick else 7 for strength in line.index],
                    "line": {"width": [3 if strength == pick else 0 for strength in line.index], "color": "ring"},
                },
                "text": [
                    f"strength {strength:.3g}{', chosen' if strength == pick else ''}<br>"
                    f"accuracy {with_interval(row['accuracy'], row['accuracy:low'], row['accuracy:high'])}<br>"
                    f"flip rate {with_interval(row['reliance'], row['reliance:low'], row['reliance:high'])}"
                    for strength, row in line.iterrows()
                ],
                "hovertemplate": "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
                "customdata": [address(mitigation, "true", float(strength)) for strength in line.index],
            }
        )
    axes = {"xaxis": _axis("flip rate (reliance on the shortcut)"), "yaxis": _axis(shifted_metric(runs) or "")}
    return {"data": traces, "layout": {**axes, "height": 520}}


def sweep(runs: pd.DataFrame, board: pd.DataFrame, metric: str, address: Address) -> Picture:
    """One metric over strength, a line a mitigation with its band; a mitigation without a strength is a level line."""
    runs = trusted(runs)
    positive = runs.loc[runs["strength"] > 0, "strength"]
    reach = [float(positive.min()), float(positive.max())] if len(positive) else [0.1, 1.0]
    leaders = ["erm", *board.loc[board["masks"] == "true", "mitigation"][:LEADERS]]
    traces = []
    for which, (name, own) in enumerate(runs.groupby("mitigation", sort=False)):
        mitigation, table = str(name), over_strengths(own, metric)
        strengths = [float(strength) for strength in table.index]
        flat = max(strengths) == 0
        table = table.iloc[[0, 0]] if flat else table[table.index > 0]
        x = reach if flat else [strength for strength in strengths if strength > 0]
        color = PALETTE[which % len(PALETTE)]
        shared = {"legendgroup": mitigation, "visible": True if mitigation in leaders else "legendonly"}
        band = [*_rounded(table["high"]), *_rounded(table["low"])[::-1]]
        traces += [
            {"x": [*x, *x[::-1]], "y": band, "fill": "toself", "fillcolor": f"{color}26", "line": {"width": 0},
             "mode": "lines", "hoverinfo": "skip", "showlegend": False, **shared},
            {"x": x, "y": _rounded(table["mean"]), "name": _plain(mitigation),
             "mode": "lines" if flat else "lines+markers",
             "line": {"color": color, "dash": DASHES[which // 10 % 4]},
             "text": [with_interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)],
             "hovertemplate": "<b>%{fullData.name}</b><br>strength %{x:.3g}<br>%{text}<extra></extra>",
             "customdata": [address(mitigation, "true", 0.0 if flat else strength) for strength in x], **shared},
        ]  # fmt: skip
    layout = {
        "xaxis": {**_axis("strength"), "type": "log", "exponentformat": "power", "dtick": 1},
        "yaxis": _axis(DRAWN[metric]),
    }
    return {"data": traces, "layout": {**layout, "height": 420}}


def mask_fraction(board: pd.DataFrame, address: Address) -> Picture | None:
    """Accuracy under shift over the number of inputs that had a mask; None where no control varies it."""
    counts = board["masks"].map(annotated_inputs)
    varied = board[counts.notna()].assign(count=counts)
    varied = varied[varied["mitigation"].isin(varied.loc[varied["count"] < float("inf"), "mitigation"])]
    ordered = varied.sort_values(["mitigation", "count"])
    names = ordered["count"].map(lambda count: "all" if count == float("inf") else f"{count:.0f}")
    order = [f"{c:.0f}" for c in sorted(set(ordered["count"])) if c < float("inf")] + ["all"]
    return _controls(ordered.assign(place=names), order, "training inputs that have a mask", "lines+markers", address)


def mask_corruption(board: pd.DataFrame, address: Address) -> Picture | None:
    """Accuracy under shift by the kind of masks; None where no control corrupts masks."""
    corrupted = board[board["masks"].map(annotated_inputs).isna()]
    kept = board[(board["masks"] == "true") & board["mitigation"].isin(corrupted["mitigation"])]
    rows = pd.concat([kept, corrupted]).assign(place=lambda table: table["masks"])
    known = ["true", "half", "shifted", "dilated", "all_ones", "random", "wrong"]
    order = [name for name in known if name in set(rows["masks"])]
    return _controls(rows, order, "masks that the mitigation was told", "markers", address)


def curves(by_metric: dict[str, list[float]]) -> Picture:
    """One run's curves over its epochs; losses on the left axis, accuracy on the right."""
    traces = [
        {"x": list(range(1, len(values) + 1)), "y": [float(f"{value:.4g}") for value in values], "name": _plain(name),
         "mode": "lines+markers", "yaxis": "y2" if name.startswith("accuracy") else "y",
         "line": {"color": PALETTE[which]}, "marker": {"size": 4}}
        for which, (name, values) in enumerate(by_metric.items())
    ]  # fmt: skip
    right = {"title": {"text": "accuracy"}, "overlaying": "y", "side": "right", "showgrid": False, "tickmode": "auto"}
    axes = {
        "xaxis": _axis("epoch"),
        "yaxis": {**_axis("loss"), "type": "log", "exponentformat": "power", "dtick": 1},
        "yaxis2": right,
    }
    return {"data": traces, "layout": {**axes, "height": 340, "legend": {"orientation": "h", "y": -0.3}}}


def _controls(rows: pd.DataFrame, order: list[str], title: str, mode: str, address: Address) -> Picture | None:
    metric = shifted_metric(rows)
    if len(order) < 2 or metric is None:
        return None
    traces = []
    for which, (mitigation, own) in enumerate(rows.groupby("mitigation", sort=False)):
        mean, low, high = (own[f"{metric}{end}"] for end in ("", ":low", ":high"))
        traces.append(
            {"x": own["place"].map(_plain).tolist(), "y": _rounded(mean), "name": _plain(mitigation), "mode": mode,
             "error_y": {"type": "data", "symmetric": False, "array": _rounded(high - mean),
                         "arrayminus": _rounded(mean - low), "thickness": 1},
             "line": {"color": PALETTE[which % len(PALETTE)]},
             "marker": {"size": 8, "symbol": SYMBOLS[which // 10 % 4]},
             "text": [f"strength {strength:.3g}" for strength in own["strength"]],
             "hovertemplate": "<b>%{fullData.name}</b><br>masks %{x}: %{y:.3f}<br>%{text}<extra></extra>",
             "customdata": [address(str(mitigation), masks, float(strength))
                            for masks, strength in zip(own["masks"], own["strength"], strict=True)]}
        )  # fmt: skip
    axis = {
        **_axis(title),
        "type": "category",
        "categoryorder": "array",
        "categoryarray": [_plain(place) for place in order],
    }
    return {"data": traces, "layout": {"xaxis": axis, "yaxis": _axis(metric), "height": 420}}


def _plain(name: object) -> str:
    """A name as Plotly shows it: it takes tags for its own."""
    return escape(str(name), quote=False)


def _axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "zeroline": False}


def _rounded(values: pd.Series) -> list[float | None]:
    """To five digits, which no screen exceeds; None, which JSON can say, for NaN."""
    return [None if value != value else float(f"{value:.5g}") for value in values]
