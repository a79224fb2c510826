"""The pictures of a sweep's page, for Plotly: plain dictionaries of its schema, which the page's script draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from ..figures.axes import FLIP_RATE, spread
from ..figures.lines import Line, inset_box
from ..figures.palette import COLOURS, IN_WORDS, INK, OTHER, Style, styles
from ..ranking.statistics import with_interval
from .points import DRAWN, annotated_inputs, named, over_strengths, shifted_metric, trade_offs, trusted
from .trade_off import trade_off_lines

Picture = dict[str, Any]
"""`data` and `layout`; a point's `customdata` is the address of its run's page."""
Address = Callable[[str, str, float], str]
"""The address of the run with a mitigation, masks and a strength, of the first seed, in one sweep."""

THEMED = {INK: "colour-text", OTHER: "colour-other"}
"""Colours that the page's script gives by the reader's setting, light or dark."""
HEIGHT, LABEL = 520, 18
"""Of the trade-off, and of a label; in pixels."""
WHOLE, INSET = [0, 0.42], [0.52, 1]
"""The parts of the figure's width where an inset shows a corner of the axes."""


def trade_off(runs: pd.DataFrame, board: pd.DataFrame, address: Address) -> Picture:
    """Accuracy under shift against flip rate, one point a strength; the chosen strength is large, with its interval."""
    lines, tables = trade_off_lines(runs, board), dict(trade_offs(runs))
    box = inset_box(list(lines.values()))
    traces = [_points(name, line, tables[name], address) for name, line in lines.items()]
    axes: dict[str, Any] = {"xaxis": _axis(FLIP_RATE), "yaxis": _axis(shifted_metric(runs) or "")}
    ends = {name: (float(line.x[line.chosen]), float(line.y[line.chosen]), line.style)
            for name, line in lines.items() if line.named and line.chosen is not None}  # fmt: skip
    low, high = (getattr(pd.concat([table["accuracy"] for table in tables.values()]), end)() for end in ("min", "max"))
    outside: list[dict[str, Any]] = []
    if box is not None:
        traces += [{**trace, "xaxis": "x2", "yaxis": "y2", "showlegend": False} for trace in traces]
        axes["xaxis"]["domain"] = WHOLE
        axes["xaxis2"] = {**_axis("the corner of the chosen points"), "domain": INSET, "range": list(box[:2])}
        axes["yaxis2"] = {**_axis(""), "anchor": "x2", "range": list(box[2:])}
        axes["shapes"] = [{"type": "rect", "x0": box.left, "x1": box.right, "y0": box.low, "y1": box.high,
                           "line": {"width": 1, "color": "colour-text", "dash": "dot"}}]  # fmt: skip
        outside = [{"x": x, "y": y, "text": _plain(name), "showarrow": False, "yshift": -16, "font": {"size": 12}}
                   for name, (x, y, _) in ends.items() if not box.holds(x, y)]  # fmt: skip
        ends = {name: end for name, end in ends.items() if box.holds(*end[:2])}
        low, high = box.low, box.high
    labels = _labels({name: (y, style) for name, (_, y, style) in ends.items()}, low, high, HEIGHT, box is None)
    labels["annotations"] += outside
    return {"data": traces, "layout": {**axes, "height": HEIGHT, **labels}}


def _points(name: str, line: Line, table: pd.DataFrame, address: Address) -> dict[str, Any]:
    """The trace of one mitigation."""
    colour, chosen_at = _themed(line.style), [place == line.chosen for place in range(len(table))]
    large = [13 if at and line.named else 6 if line.named else 4 for at in chosen_at]
    errors = {}
    if line.named and line.interval is not None:
        for error, middle, (low, high) in (("error_x", "reliance", line.interval[:2]),
                                           ("error_y", "accuracy", line.interval[2:])):  # fmt: skip
            up = (high - table[middle]).where(np.array(chosen_at))
            down = (table[middle] - low).where(np.array(chosen_at))
            errors[error] = {"type": "data", "symmetric": False, "array": _rounded(up), "arrayminus": _rounded(down),
                             "thickness": 1, "width": 3, "color": colour}  # fmt: skip
    return {
        "name": _plain(name), "mode": "lines+markers",
        "x": _rounded(table["reliance"]), "y": _rounded(table["accuracy"]),
        "line": {"color": colour, "width": 1.3 if line.named else 0.8},
        "marker": {"color": colour, "symbol": line.style.marker, "opacity": 1, "size": large,
                   "line": {"width": [1.5 if size == 13 else 0 for size in large], "color": "colour-text"}},
        "text": [
            f"strength {strength:.3g}{', chosen' if at else ''}<br>"
            f"accuracy {with_interval(row['accuracy'], row['accuracy:low'], row['accuracy:high'])}<br>"
            f"flip rate {with_interval(row['reliance'], row['reliance:low'], row['reliance:high'])}"
            for (strength, row), at in zip(table.iterrows(), chosen_at, strict=True)
        ],
        "hovertemplate": "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
        "customdata": [address(name, "true", float(strength)) for strength in table.index],
        "showlegend": line.named,
        **errors,
    }  # fmt: skip


def sweep(runs: pd.DataFrame, board: pd.DataFrame, metric: str, address: Address) -> Picture:
    """One metric over strength, a line a mitigation; a mitigation without a strength is a level line.

    ERM and the best have names and the bands of their intervals.
    """
    runs = trusted(runs)
    positive = runs.loc[runs["strength"] > 0, "strength"]
    reach = [float(positive.min()), float(positive.max())] if len(positive) else [0.1, 1.0]
    drawn = {str(name): own for name, own in runs.groupby("mitigation", sort=False)}
    traces, ends, ranges = [], {}, []
    for mitigation, style in styles(named(board, drawn), drawn).items():
        table, is_named = over_strengths(drawn[mitigation], metric), style.colour != OTHER
        strengths = [float(strength) for strength in table.index]
        flat = max(strengths) == 0
        table = table.iloc[[0, 0]] if flat else table[table.index > 0]
        x = reach if flat else [strength for strength in strengths if strength > 0]
        band = [*_rounded(table["high"]), *_rounded(table["low"])[::-1]]
        if is_named:
            traces.append(
                {"x": [*x, *x[::-1]], "y": band, "fill": "toself", "fillcolor": _themed(style), "opacity": 0.13,
                 "line": {"width": 0}, "mode": "lines", "hoverinfo": "skip", "showlegend": False}
            )  # fmt: skip
            if (there := table["mean"].dropna()).size:
                ends[mitigation] = (there.iat[-1], style)
        ranges += [*table["mean"], *(table["low"] if is_named else []), *(table["high"] if is_named else [])]
        traces.append(
            {"x": x, "y": _rounded(table["mean"]), "name": _plain(mitigation), "showlegend": is_named,
             "mode": "lines" if flat or not is_named else "lines+markers",
             "line": {"color": _themed(style), "dash": "dash" if flat else "solid", "width": 2 if is_named else 0.8},
             "marker": {"symbol": style.marker, "size": 7},
             "text": [with_interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)],
             "hovertemplate": "<b>%{fullData.name}</b><br>strength %{x:.3g}<br>%{text}<extra></extra>",
             "customdata": [address(mitigation, "true", 0.0 if flat else strength) for strength in x]}
        )  # fmt: skip
    values = pd.Series(ranges, dtype=float).dropna()
    layout = {
        "xaxis": {**_axis("strength"), "type": "log", "exponentformat": "power", "dtick": 1},
        "yaxis": _axis(DRAWN[metric]),
        "height": 420,
    }
    return {"data": traces, "layout": layout | (_labels(ends, values.min(), values.max(), 420) if ends else {})}


def _labels(
    ends: Mapping[str, tuple[float, Style]], low: float, high: float, height: int, ranged: bool = True
) -> dict[str, Any]:
    """The lines' names to the right of the axes, apart from each other; and the axis' range, if `ranged`."""
    margin = (0.05 * (high - low) or 0.05) if ranged else 0
    low, high = low - margin, high + margin
    shares = [(value - low) / (high - low) for value, _ in ends.values()]
    places = spread(shares, LABEL / (0.8 * height))
    names = [
        {"xref": "paper", "yref": "paper", "x": 1.01, "y": place, "xanchor": "left", "yanchor": "middle",
         "showarrow": False, "font": {"size": 12}, "align": "left",
         "text": f"<span style='color:{_themed(style)}'>{IN_WORDS[style.marker]}</span> {_plain(name)}"}
        for (name, (_, style)), place in zip(ends.items(), places, strict=True)
    ]  # fmt: skip
    return {"annotations": names} | ({"yrange": [float(f"{low:.5g}"), float(f"{high:.5g}")]} if ranged else {})


def _themed(style: Style) -> str:
    return THEMED.get(style.colour, style.colour)


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
        {"x": list(range(1, len(values) + 1)), "y": [float(f"{y:.4g}") if isfinite(y) else None for y in values],
         "name": _plain(name), "mode": "lines+markers", "yaxis": "y2" if name.startswith("accuracy") else "y",
         "line": {"color": COLOURS[which % len(COLOURS)]}, "marker": {"size": 4}}
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
    drawn = {str(name): own for name, own in rows.groupby("mitigation", sort=False)}
    for mitigation, style in styles(named(rows, drawn), drawn).items():
        own, is_named = drawn[mitigation], style.colour != OTHER
        mean, low, high = (own[f"{metric}{end}"] for end in ("", ":low", ":high"))
        error = {"type": "data", "symmetric": False, "array": _rounded(high - mean),
                 "arrayminus": _rounded(mean - low), "thickness": 1}  # fmt: skip
        traces.append(
            {"x": own["place"].map(_plain).tolist(), "y": _rounded(mean), "name": _plain(mitigation), "mode": mode,
             **({"error_y": error} if is_named else {}), "showlegend": is_named,
             "line": {"color": _themed(style), "width": 2 if is_named else 0.8},
             "marker": {"size": 9 if is_named else 5, "symbol": style.marker, "color": _themed(style)},
             "text": [f"strength {strength:.3g}" for strength in own["strength"]],
             "hovertemplate": "<b>%{fullData.name}</b><br>masks %{x}: %{y:.3f}<br>%{text}<extra></extra>",
             "customdata": [address(mitigation, masks, float(strength))
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
