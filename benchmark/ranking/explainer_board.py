"""Records to a ranking of explainers: whose saliency in the mask follows what the network does with the shortcut?

Every network of a suite has a causal reliance, its flip rate, and by every explainer a share of saliency in the mask,
`mass_abs`. An explainer that can be trusted gives networks that rely more a greater share.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from tabulate import tabulate

from .leaderboard import Format
from .statistics import interval, with_interval

RELIANCE, SCORE, UNTRAINED = "flip_rate", "mass_abs/", "untrained_rank_correlation/"
USES = 0.05
"""A network uses the shortcut if more of its predictions flip."""
SAME = 0.9
"""An explainer does not look at the weights if its attributions correlate more with those of other weights."""
MEASURES = {
    "rank_correlation": "rank correlation with flip_rate",
    "auroc": f"AUROC of flip_rate > {USES:g}",
    "untrained": "with untrained",
}
NETWORK = ["network", "mitigation", "strength"]


class OfSeed(NamedTuple):
    """What an explainer makes of one seed's networks; NaN where they all rely alike, or were not compared.

    Attributes:
        rank_correlation: Spearman's, between the share of saliency in the mask and the flip rate; 0 for an explainer
            that gives all networks the same.
        auroc: of the share, for whether the network uses the shortcut.
        untrained: mean rank correlation of the attributions with those of an untrained network.
    """

    rank_correlation: float
    auroc: float
    untrained: float

    @classmethod
    def measured(cls, networks: pd.DataFrame, explainer: str) -> OfSeed:
        from scipy.stats import spearmanr
        from sklearn.metrics import roc_auc_score

        shares, reliance = networks[SCORE + explainer].to_numpy(), networks[RELIANCE].to_numpy()
        uses, untrained = reliance > USES, networks.get(UNTRAINED + explainer, pd.Series(dtype=float))
        correlation = spearmanr(shares, reliance).statistic if np.ptp(shares) > 0 < np.ptp(reliance) else 0.0
        return cls(
            float(correlation) if np.ptp(reliance) > 0 else np.nan,
            float(roc_auc_score(uses, shares)) if 0 < uses.sum() < len(uses) else np.nan,
            float(untrained.mean()),
        )


def explainer_board(records: pd.DataFrame) -> pd.DataFrame:
    """The explainers of each dataset, the best rank correlation first.

    Args:
        records: one row a run, of networks of all kinds.

    Returns:
        `dataset, explainer, note, networks, seeds`, then for each field of `OfSeed` its mean over seeds and the ends of
        that mean's 95 % interval, `ID:low` and `ID:high`. `networks` is the least number in a seed. The note is
        `chance` where the AUROC's interval reaches 0.5, and `same untrained` where `untrained` is above 0.9.
    """
    rows = []
    for dataset, runs in _finished(records).groupby("dataset"):
        for score in (str(column) for column in runs if str(column).startswith(SCORE)):
            seeds = runs.dropna(subset=[score]).groupby("seed")
            if len(seeds) == 0:
                continue
            explainer = score.removeprefix(SCORE)
            values = np.array([OfSeed.measured(networks, explainer) for _, networks in seeds])
            mean, low, high = (OfSeed(*ends) for ends in interval(values))
            failures = {"chance": low.auroc <= 0.5, "same untrained": mean.untrained > SAME}
            note = ", ".join(name for name, fails in failures.items() if fails)
            rows.append(
                (dataset, explainer, note, seeds.size().min(), len(seeds), *chain(*zip(mean, low, high, strict=True)))
            )
    ends = [f"{measure}{end}" for measure in MEASURES for end in ("", ":low", ":high")]
    board = pd.DataFrame(rows, columns=["dataset", "explainer", "note", "networks", "seeds", *ends])
    best_first = ["dataset", "rank_correlation", "auroc", "explainer"]
    return board.sort_values(best_first, ascending=[True, False, False, True], ignore_index=True)


def render(board: pd.DataFrame, records: pd.DataFrame, format: Format = "table") -> str:
    """The ranking, and the networks that it is over, as plain text, Markdown, or LaTeX; as csv the ranking alone."""
    if format == "csv":
        return board.to_csv(index=False)
    blocks = []
    for dataset, rows in board.groupby("dataset"):
        cells = rows[["explainer", "note", "networks"]].astype(str)
        for measure, title in MEASURES.items():
            ends = rows[[measure, f"{measure}:low", f"{measure}:high"]].itertuples(index=False)
            cells[title] = [with_interval(*numbers, decimals=2) for numbers in ends]
        networks = _networks(_finished(records).query("dataset == @dataset"))
        tables = (_tabulated(cells, format, names=2), _tabulated(networks, format, names=2))
        blocks += [{"md": "### ", "tex": "% "}.get(format, "") + str(dataset), *tables]
    seeds = ", ".join(sorted({str(count) for count in board["seeds"]}))
    caption = [
        f"cells: mean [95 % bootstrap interval over {seeds} seeds] of what a seed's networks give",
        f"{MEASURES['rank_correlation']}: Spearman's, of the share of saliency in the mask ({SCORE[:-1]})",
        f"{MEASURES['untrained']}: rank correlation of attributions with those of an untrained network",
        f"note: chance: the AUROC's interval reaches 0.5; same untrained: that correlation is above {SAME:g}",
    ]
    bullets = [{"md": "- ", "tex": "% "}.get(format, "") + line for line in caption]
    return "\n\n".join([*blocks, "\n".join(bullets)]) + "\n"


def _finished(records: pd.DataFrame) -> pd.DataFrame:
    finished = records[records["status"] == "finished"]
    return finished.dropna(subset=[RELIANCE]) if RELIANCE in finished else finished.head(0)


def _networks(runs: pd.DataFrame) -> pd.DataFrame:
    """The cells of a table: every network and its flip rate, the least reliant first."""
    mean = runs.groupby(NETWORK)[RELIANCE].transform("mean")
    rows = []
    for (_, network, mitigation, strength), own in runs.assign(mean=mean).groupby(["mean", *NETWORK]):
        mean, low, high = map(float, interval(own[RELIANCE].to_numpy(float)))
        rows.append((network, mitigation, f"{strength:.3g}", with_interval(mean, low, high)))
    return pd.DataFrame(rows, columns=[*NETWORK, RELIANCE])


def _tabulated(cells: pd.DataFrame, format: Format, names: int) -> str:
    """The first `names` columns to the left, numbers to the right."""
    sides = ["left"] * names + ["right"] * (len(cells.columns) - names)
    style = {"md": "pipe", "tex": "latex_booktabs"}.get(format, "simple")
    return tabulate(cells.to_numpy().tolist(), list(map(str, cells)), style, disable_numparse=True, colalign=sides)
