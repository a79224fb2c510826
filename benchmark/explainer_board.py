"""Records to a ranking of explainers: whose saliency in the mask follows what the network does with the shortcut?

Every network of a suite has a causal reliance, its flip rate, and by every explainer a share of saliency in the mask,
`mass_abs`. An explainer that can be trusted gives networks that rely more a greater share.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from tabulate import tabulate

from .statistics import interval

RELIANCE, SCORE, UNTRAINED = "flip_rate", "mass_abs/", "untrained_rank_correlation/"
USES = 0.05
"""A network uses the shortcut if more of its predictions flip."""
MEASURES = ("rank_correlation", "auroc", "untrained")
TITLES = {
    "rank_correlation": "rank correlation with flip_rate",
    "auroc": f"AUROC of flip_rate > {USES:.0%}",
    "untrained": "rank correlation with untrained",
}


def explainer_board(records: pd.DataFrame) -> pd.DataFrame:
    """The explainers of each dataset, the best rank correlation first.

    Args:
        records: one row a run, of networks of all kinds.

    Returns:
        `dataset, explainer, networks, seeds`, then for each of these its mean over seeds and the ends of that mean's
        95 % interval, `ID:low` and `ID:high`: `rank_correlation` (Spearman's, of a seed's networks, between the share
        of saliency in the mask and the flip rate; 0 for an explainer that gives all networks the same), `auroc` (of
        the share, for whether the network uses the shortcut) and `untrained` (rank correlation with the attributions
        of an untrained network: 1 for an explainer that does not look at the weights). `networks` is the least number
        in a seed.
    """
    rows = []
    finished = records[records["status"] == "finished"]
    for dataset, runs in finished.groupby("dataset"):
        for score in (str(column) for column in runs if str(column).startswith(SCORE)):
            scored = runs.dropna(subset=[score, RELIANCE])
            if scored.empty:
                continue
            explainer = score.removeprefix(SCORE)
            values = np.array([_of_seed(networks, explainer) for _, networks in scored.groupby("seed")])
            fewest = scored.groupby("seed").size().min()
            row = {"dataset": dataset, "explainer": explainer, "networks": fewest, "seeds": len(values)}
            for measure, mean, low, high in zip(MEASURES, *interval(values), strict=True):
                row |= {measure: mean, f"{measure}:low": low, f"{measure}:high": high}
            rows.append(row)
    ends = [f"{measure}{end}" for measure in MEASURES for end in ("", ":low", ":high")]
    board = pd.DataFrame(rows, columns=["dataset", "explainer", "networks", "seeds", *ends])
    best_first = ["dataset", "rank_correlation", "auroc", "explainer"]
    return board.sort_values(best_first, ascending=[True, False, False, True], ignore_index=True)


def render(board: pd.DataFrame, format: Literal["table", "csv", "md"] = "table") -> str:
    """The ranking as plain text, as csv in full precision, or as Markdown."""
    if format == "csv":
        return board.to_csv(index=False)
    blocks = []
    for dataset, rows in board.groupby("dataset"):
        cells = rows[["explainer", "networks"]].astype(str)
        for measure, title in TITLES.items():
            ends = rows[[measure, f"{measure}:low", f"{measure}:high"]].itertuples(index=False)
            cells[title] = [_cell(*numbers) for numbers in ends]
        style = "pipe" if format == "md" else "simple"
        table = tabulate(cells.to_numpy().tolist(), list(cells), style, disable_numparse=True)
        blocks.append(f"### {dataset}\n\n{table}" if format == "md" else f"{dataset}\n\n{table}")
    seeds = ", ".join(sorted({str(count) for count in board["seeds"]}))
    caption = [
        f"cells: mean [95 % bootstrap interval over {seeds} seeds] of what a seed's networks give",
        f"rank correlation with flip_rate: Spearman's, of the share of saliency in the mask ({SCORE[:-1]})",
        "rank correlation with untrained: of attributions with an untrained network's; 1: the weights do not count",
    ]
    bullets = [f"- {line}" if format == "md" else line for line in caption]
    return "\n\n".join([*blocks, "\n".join(bullets)]) + "\n"


def _of_seed(networks: pd.DataFrame, explainer: str) -> tuple[float, float, float]:
    """The MEASURES of one seed's networks; NaN where they do not differ in reliance, or were not compared."""
    from scipy.stats import spearmanr
    from sklearn.metrics import roc_auc_score

    shares, reliance = networks[SCORE + explainer].to_numpy(), networks[RELIANCE].to_numpy()
    uses = reliance > USES
    correlation, auroc, untrained = np.nan, np.nan, np.nan
    if np.ptp(reliance) > 0:
        correlation = spearmanr(shares, reliance).statistic if np.ptp(shares) > 0 else 0.0
    if 0 < uses.sum() < len(uses):
        auroc = roc_auc_score(uses, shares)
    if UNTRAINED + explainer in networks:
        untrained = networks[UNTRAINED + explainer].mean()
    return float(correlation), float(auroc), float(untrained)


def _cell(mean: float, low: float, high: float) -> str:
    """With its interval, if there is one: a single seed has none."""
    if np.isnan(mean):
        return "-"
    return f"{mean:z.2f}" if np.isnan(low) else f"{mean:z.2f} [{low:z.2f}, {high:z.2f}]"
