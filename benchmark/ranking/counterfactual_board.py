"""Records to a ranking of counterfactual explainers: who changes the shortcut where the classifier uses it?"""

from __future__ import annotations

import numpy as np
import pandas as pd
from tabulate import tabulate

from ..counterfactuals.metrics import METRICS
from .rendering import Format
from .statistics import interval, paired_difference, with_interval

FLOOR = "dummy"
RANKED = ("shortcut_hit_used", "success")
"""Explainers are ranked by the first metric, and compared to the floor by both."""
SHOWN = (*RANKED, "shortcut_hit", "non_causal_flip", "causal_flip", "trivial", "cardinality")
SETTING = ["dataset", "network", "training"]


def counterfactual_board(records: pd.DataFrame) -> pd.DataFrame:
    """The explainers of each sweep, the best first.

    Args:
        records: a row a run, as `store.frames` has them; failed runs are left out.

    Returns:
        `dataset, network, training, explainer, seeds`, then of each metric its mean over seeds, the ends of that mean's
        95 % interval, `METRIC:low` and `METRIC:high`, and `METRIC:seeds`: a metric that is NaN on some seed (a share of
        nothing) is the mean over the other seeds. `note` says by which metrics an explainer is not better than the
        dummy: where the interval of the difference, paired by seed, reaches 0.
    """
    finished = records[records["status"] == "finished"]
    rows = [row for _, sweep in finished.groupby("sweep_key", sort=False) for row in _ranked(sweep)]
    columns = [f"{metric.id}{end}" for metric in METRICS for end in ("", ":low", ":high", ":seeds")]
    return pd.DataFrame(rows, columns=[*SETTING, "explainer", "seeds", *columns, "note"])


def render(board: pd.DataFrame, format: Format = "table") -> str:
    """The ranking as plain text, Markdown, or LaTeX, a block a sweep; or as csv with everything."""
    if format == "csv":
        return board.to_csv(index=False)
    style = {"md": "pipe", "tex": "latex_booktabs"}.get(format, "simple")
    blocks = []
    for (dataset, network, training), rows in board.groupby(SETTING, sort=False):
        used, accuracy = rows["uses_shortcut"].iat[0], rows["accuracy"].iat[0]
        title = (
            f"{dataset}, {network}{f', {training}' if training else ''}: the classifier is right on {accuracy:.3f} of "
            f"inputs like its training's, and uses the shortcut on {used:.3f}"
        )
        cells = [[row["explainer"], *map(_cell, [row] * len(SHOWN), SHOWN), row["note"]] for _, row in rows.iterrows()]
        table = tabulate(cells, ["explainer", *SHOWN, "note"], style, disable_numparse=True)
        blocks += [{"md": "### ", "tex": "% "}.get(format, "") + title, table]
    seeds = sorted({int(count) for count in board["seeds"]})
    legend = [f"mean [95 % bootstrap interval over {' to '.join(map(str, [*seeds[:1], *seeds[1:][-1:]]))} seeds]"]
    legend += [f"{metric.id}: {metric.meaning}" for metric in METRICS if metric.id in SHOWN]
    mark = {"md": "- ", "tex": "% "}.get(format, "")
    return "\n\n".join([*blocks, "\n".join(mark + line for line in legend)]) + "\n"


def _ranked(sweep: pd.DataFrame) -> list[dict[str, object]]:
    """The rows of a sweep's explainers, the best first."""
    sweep = sweep.assign(**{metric.id: np.nan for metric in METRICS if metric.id not in sweep})
    floor = sweep[sweep["mitigation"] == FLOOR].set_index("seed")
    rows = []
    for explainer, runs in sweep.groupby("mitigation"):
        own = runs.set_index("seed")
        row: dict[str, object] = {name: own[name].iat[0] for name in SETTING}
        row |= {"explainer": explainer, "seeds": len(own)}
        for metric in METRICS:
            row |= _summary(metric.id, own[metric.id].dropna().to_numpy(float))
        compared = [] if floor.empty or explainer == FLOOR else RANKED
        worse = [metric for metric in compared if not _above(own[metric], floor[metric])]
        rows.append({**row, "note": f"not above {FLOOR}: {', '.join(worse)}" if worse else ""})
    return pd.DataFrame(rows).sort_values(list(RANKED), ascending=False).to_dict("records")  # pyrefly: ignore


def _summary(metric: str, values: np.ndarray) -> dict[str, object]:
    mean, low, high = interval(values) if len(values) else (np.nan,) * 3
    return {metric: mean, f"{metric}:low": low, f"{metric}:high": high, f"{metric}:seeds": len(values)}


def _above(own: pd.Series, floor: pd.Series) -> bool:
    """Whether a metric is above the floor's, by the interval of the difference over the seeds that both have."""
    both = own.dropna().index.intersection(floor.dropna().index)
    if not len(both):
        return False
    difference = paired_difference(own.loc[both], floor.loc[both])
    return bool((difference.low if len(both) > 1 else difference.mean) > 0)


def _cell(row: pd.Series, metric: str) -> str:
    return with_interval(row[metric], row[f"{metric}:low"], row[f"{metric}:high"])
