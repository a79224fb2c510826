"""The suite `counterfactuals`: explainers of shortcuts in letters, at two strengths and breadths of the correlation.

    rrrbench run counterfactuals

Every run is an MLflow run in the experiment `counterfactuals`; a finished one is not made again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate
from tqdm import tqdm

from ..compat.bex.benchmark import Benchmark
from ..compat.bex.loggers import MlflowLogger, run_key
from ..ranking.statistics import interval, paired_difference, with_interval
from ..store.tracking import LOCAL, Tracker, tracking_uri
from .metrics import METRICS

SETTINGS = tuple(product((0.95, 0.5), (10, 6)))
SEEDS = (0, 1, 2, 3, 4)
INPUTS = BATCH = 20
ENTRIES: tuple[dict[str, object], ...] = (
    {"explainer": "is"},
    {"explainer": "dummy"},
    {"explainer": "dice"},
    {"explainer": "dive"},
    {"explainer": "dive", "method": "random"},
    {"explainer": "gs"},
    {"explainer": "lcf"},
    {"explainer": "stylex"},
    {"explainer": "stylex", "strategy": "subset"},
    {"explainer": "xgem"},
)
FLOOR = "dummy"
RANKED = ("shortcut_hit_used", "success")
"""By the first, and compared to the floor by both."""
SHOWN = (*RANKED, "shortcut_hit", "non_causal_flip", "causal_flip", "trivial", "cardinality")
SETTING = ["corr_level", "n_corr"]


def run(device: str = "cpu", folder: Path = LOCAL) -> str:
    """Makes what is not finished, writes counterfactuals.csv and .md to `folder`, and gives the table."""
    tracker = Tracker(tracking_uri(), MlflowLogger.experiment)
    finished, keys = {tags["run_key"] for tags, _, _ in tracker.flat("counterfactual")}, []
    todo = list(product(SETTINGS, SEEDS))
    with tqdm(total=len(todo) * len(ENTRIES), file=sys.stderr, mininterval=0.5) as bar:
        for (correlation, breadth), seed in todo:
            bench = Benchmark(BATCH, n_samples=INPUTS, corr_level=correlation, n_corr=breadth, seed=seed, device=device)
            for entry in ENTRIES:
                attributes = bench.attributes(**entry)  # pyrefly: ignore
                bar.set_description_str(f"{correlation} {breadth} seed {seed} · {attributes['explainer']}")
                keys.append(run_key(attributes))
                if keys[-1] not in finished:
                    bench.run(**entry)  # pyrefly: ignore
                bar.update()
    tracker.settle_flat("counterfactual", keys)
    board = leaderboard(records(tracker, keys))
    folder.mkdir(parents=True, exist_ok=True)
    board.to_csv(folder / "counterfactuals.csv", index=False)
    (folder / "counterfactuals.md").write_text(render(board, "pipe"))
    return f"{render(board, 'simple')}\nwrote {folder}/counterfactuals.csv and {folder}/counterfactuals.md"


def records(tracker: Tracker, keys: Iterable[str]) -> pd.DataFrame:
    """One row a run: setting, explainer, seed, metrics."""
    wanted, rows = set(keys), {}
    for tags, parameters, metrics in tracker.flat("counterfactual"):
        if tags["run_key"] in wanted:
            rows[tags["run_key"]] = {
                "corr_level": float(parameters["corr_level"]),
                "n_corr": int(parameters["n_corr"]),
                "explainer": parameters["explainer"],
                "seed": int(parameters["seed"]),
                **{metric.id: metrics.get(metric.id, np.nan) for metric in METRICS},
            }
    return pd.DataFrame(list(rows.values()))


def leaderboard(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a setting and explainer, best first: the mean over seeds of each metric and its interval's ends.

    `note` says where an explainer is not better than the dummy: where the interval of the difference, paired by seed,
    reaches 0. A metric that is NaN on some seed (a share of nothing) is the mean over the others, `METRIC:seeds`.
    """
    board = []
    for setting, runs in rows.groupby(SETTING):
        floor = runs[runs.explainer == FLOOR].set_index("seed")
        for explainer, own in runs.groupby("explainer"):
            own = own.set_index("seed")
            row: dict[str, object] = {**dict(zip(SETTING, setting, strict=True)), "explainer": explainer}
            row["seeds"] = len(own)
            for metric in (metric.id for metric in METRICS):
                values = own[metric].dropna().to_numpy(float)
                ends = interval(values) if len(values) else (np.nan,) * 3
                row |= {metric: ends[0], f"{metric}:low": ends[1], f"{metric}:high": ends[2]}
                row[f"{metric}:seeds"] = len(values)
            worse = [] if explainer == FLOOR else [metric for metric in RANKED if not _above(own, floor, metric)]
            board.append({**row, "note": f"not above {FLOOR}: {', '.join(worse)}" if worse else ""})
    ranking = [*SETTING, RANKED[0], RANKED[1]]
    return pd.DataFrame(board).sort_values(ranking, ascending=False, ignore_index=True)


def _above(own: pd.DataFrame, floor: pd.DataFrame, metric: str) -> bool:
    """Whether a metric is above the floor's, by the interval of the difference over the seeds that both have."""
    both = own[metric].dropna().index.intersection(floor[metric].dropna().index)
    if not len(both):
        return False
    difference = paired_difference(own.loc[both, metric], floor.loc[both, metric])
    return bool((difference.low if len(both) > 1 else difference.mean) > 0)


def render(board: pd.DataFrame, style: str) -> str:
    """The board as a table, a block a setting."""
    blocks = []
    for setting, rows in board.groupby(SETTING, sort=False):
        used, accuracy = rows["uses_shortcut"].iat[0], rows["accuracy"].iat[0]
        title = (
            f"corr_level {setting[0]}, n_corr {setting[1]}: the classifier is right on {accuracy:.3f} of inputs like "
            f"its training's, and uses the shortcut on {used:.3f}"
        )
        cells = [
            [
                row["explainer"],
                *(with_interval(row[metric], row[f"{metric}:low"], row[f"{metric}:high"]) for metric in SHOWN),
                row["note"],
            ]
            for _, row in rows.iterrows()
        ]
        table = tabulate(cells, ["explainer", *SHOWN, "note"], style, disable_numparse=True)
        blocks.append(f"{'### ' if style == 'pipe' else ''}{title}\n\n{table}")
    least, most = board["seeds"].min(), board["seeds"].max()
    legend = [f"mean [95 % bootstrap interval over {least if least == most else f'{least} to {most}'} seeds]"]
    legend += [f"{metric.id}: {metric.meaning}" for metric in METRICS if metric.id in SHOWN]
    mark = "- " if style == "pipe" else ""
    return "\n\n".join([*blocks, "\n".join(mark + line for line in legend)]) + "\n"
