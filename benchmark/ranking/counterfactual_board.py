"""Runs to a ranking of counterfactual explainers: which explainers change the shortcut where the classifier uses it?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..counterfactuals.metrics import METRICS
from ..metrics.base import Metric
from .inert import csv, json_rows
from .rendering import BULLETS, HEADINGS, Format, inert, protocols_in_words, tabulated
from .statistics import interval, paired_difference, with_interval

FLOOR = "dummy"
RANKED = ("shortcut_hit_used", "success")
"""Explainers are ranked by the first metric, and compared to the floor by both."""
TABULATED = (*RANKED, "shortcut_hit", "non_causal_flip", "causal_flip", "trivial", "cardinality")
"""The metrics that a table has."""
NAMES = ["dataset", "network", "training", "protocol"]


def rank_counterfactuals(runs: pd.DataFrame) -> pd.DataFrame:
    """The explainers of each sweep, the best first.

    Args:
        runs: flat rows; failed runs are left out.

    Returns:
        `dataset, network, training, protocol, explainer, seeds`, then of each metric its mean over seeds, the ends of
        that mean's 95 % interval, `METRIC:low` and `METRIC:high`, and `METRIC:seeds`: a metric that is NaN on some seed
        (a share of nothing) is the mean over the other seeds. `note` says by which metrics an explainer is not better
        than the dummy: where the interval of the difference, paired by seed, reaches 0. The last column is `sweep_key`.
    """
    finished = runs[runs["status"] == "finished"]
    rows = [row for _, sweep in finished.groupby("sweep_key", sort=False) for row in _ranked(sweep)]
    columns = [f"{metric.id}{end}" for metric in METRICS for end in ("", ":low", ":high", ":seeds")]
    return pd.DataFrame(rows, columns=[*NAMES, "explainer", "seeds", *columns, "note", "sweep_key"])


def render_counterfactuals(board: pd.DataFrame, format: Format = "table") -> str:
    """The ranking as plain text, Markdown, or LaTeX, a block a sweep; or as csv with everything.

    Args:
        board: of `rank_counterfactuals`.
    """
    if format == "csv":
        return csv(board)
    if format == "json":
        return json_rows(board)
    blocks = []
    for _, rows in board.groupby("sweep_key", sort=False):
        cells = rows[["explainer"]].assign(**{metric: rows.apply(_cell, axis=1, metric=metric) for metric in TABULATED})
        title = _title(rows, protocol=board["protocol"].nunique() > 1)
        blocks += [
            HEADINGS.get(format, "") + inert(title, format),
            tabulated(cells.assign(note=rows["note"]), format, names=1),
        ]
    seeds = sorted({int(count) for count in board["seeds"]})
    legend = [f"mean [95 % t interval over {' to '.join(map(str, [*seeds[:1], *seeds[1:][-1:]]))} seeds]"]
    legend += [protocols_in_words(board)]
    legend += [f"{metric.id}: {metric.meaning}" for metric in METRICS if metric.id in TABULATED]
    return "\n\n".join([*blocks, "\n".join(BULLETS.get(format, "") + line for line in legend)]) + "\n"


def _title(rows: pd.DataFrame, protocol: bool) -> str:
    """A sweep's names, with its protocol if asked, and its classifier in a sentence."""
    first = rows.iloc[0]
    names = [first["dataset"], first["network"], first["training"], f"protocol {first['protocol']}" if protocol else ""]
    return (
        f"{', '.join(filter(None, names))}: the classifier is right on {first['accuracy']:.3f} of inputs like its "
        f"training's, and uses the shortcut on {first['uses_shortcut']:.3f}"
    )


def _ranked(sweep: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a sweep's explainers, the best first."""
    sweep = sweep.assign(**{metric.id: np.nan for metric in METRICS if metric.id not in sweep})
    floor = sweep[sweep["mitigation"] == FLOOR].set_index("seed")
    rows = []
    for explainer, runs in sweep.groupby("mitigation"):
        own = runs.set_index("seed")
        row: dict[str, object] = {name: own[name].iat[0] for name in (*NAMES, "sweep_key")}
        row |= {"explainer": explainer, "seeds": len(own)}
        for metric in METRICS:
            row |= _summary(metric, own[metric.id].dropna().to_numpy(float))
        compared = [] if floor.empty or explainer == FLOOR else RANKED
        worse = [metric for metric in compared if not _above(own[metric], floor[metric])]
        rows.append({**row, "note": f"not above {FLOOR}: {', '.join(worse)}" if worse else ""})
    return pd.DataFrame(rows).sort_values(list(RANKED), ascending=False).to_dict("records")  # pyrefly: ignore


def _summary(metric: Metric, values: np.ndarray) -> dict[str, object]:
    within = interval(values).within(metric.low, metric.high) if len(values) else (np.nan,) * 3
    mean, low, high = map(float, within)
    return {metric.id: mean, f"{metric.id}:low": low, f"{metric.id}:high": high, f"{metric.id}:seeds": len(values)}


def _above(own: pd.Series, floor: pd.Series) -> bool:
    """Whether a metric is above the floor's, by the interval of the difference over the seeds that both have."""
    both = own.dropna().index.intersection(floor.dropna().index)
    if not len(both):
        return False
    difference = paired_difference(own.loc[both], floor.loc[both])
    return bool((difference.low if len(both) > 1 else difference.mean) > 0)


def _cell(row: pd.Series, metric: str) -> str:
    return with_interval(row[metric], row[f"{metric}:low"], row[f"{metric}:high"])
