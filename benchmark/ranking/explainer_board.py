"""Runs to a ranking of explainers: whose saliency in the mask follows how much the network relies on the shortcut?

Every network of a suite has a causal reliance, its flip rate, and by every explainer a share of saliency in the mask,
`mass_abs`. An explainer that can be trusted gives a greater share where the network relies more. The networks of one
dataset are ranked together, whatever their architecture and training; two protocols never are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..store.record import range_of
from .inert import csv, json_rows
from .rendering import BULLETS, HEADINGS, Format, inert, protocols_in_words, tabulated
from .statistics import interval, with_interval
from .sweeps import SweepName, sweep_names

RELIANCE, SCORE, UNTRAINED, SUBJECT = "flip_rate", "mass_abs/", "untrained_rank_correlation/", "faithful/"
USES = 0.05
"""A network uses the shortcut if more of its predictions flip."""
SAME = 0.9
"""An explainer ignores the weights if its attributions correlate more than this with those of an untrained network."""
RANGES = np.array([(-1.0, 1.0), (0.0, 1.0), (-1.0, 1.0)])
"""The least and the largest value of each field of `OfSeed`."""
MEASURES = {
    "rank_correlation": "rank correlation with flip_rate",
    "auroc": f"AUROC of flip_rate > {USES:g}",
    "untrained": "with untrained",
}
TOGETHER = ["dataset", "protocol"]
"""The columns that networks which are ranked together have alike."""
NETWORK = ["sweep_key", "mitigation", "masks", "strength"]
"""The columns that one network has alike in all seeds."""


class OfSeed(NamedTuple):
    """How an explainer ranks one seed's networks; NaN where all networks rely alike, or were not compared.

    Attributes:
        rank_correlation: Spearman's, between the share of saliency in the mask and the flip rate; 0 for an explainer
            that gives all networks the same.
        auroc: area under the ROC curve of the share, for whether the network uses the shortcut.
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


def rank_explainers(runs: pd.DataFrame) -> pd.DataFrame:
    """The explainers of each dataset, the best rank correlation first.

    Args:
        runs: flat rows, of networks of all kinds.

    Returns:
        `dataset, protocol, explainer, note, networks, seeds`, then for each field of `OfSeed` its mean over seeds and
        the ends of that mean's 95 % interval, `ID:low` and `ID:high`. `networks` is the least number in a seed. The
        note is `chance` where the AUROC's interval reaches 0.5, and `same untrained` where `untrained` is above 0.9.
    """
    names = [*TOGETHER, "explainer", "note", "networks", "seeds"]
    rows = [
        {**dict(zip(TOGETHER, together, strict=True)), **_ranked(own.dropna(subset=[score]), score)}
        for together, own in _finished(runs).groupby(TOGETHER)
        for score in map(str, own)
        if score.startswith(SCORE) and own[score].notna().any()
    ]
    ends = [f"{measure}{end}" for measure in MEASURES for end in ("", ":low", ":high")]
    board = pd.DataFrame(rows, columns=[*names, *ends])
    best_first = [*TOGETHER, "rank_correlation", "auroc", "explainer"]
    return board.sort_values(best_first, ascending=[True, True, False, False, True], ignore_index=True)


def render_explainers(board: pd.DataFrame, runs: pd.DataFrame, format: Format = "table") -> str:
    """The ranking, and the networks that are ranked, as plain text, Markdown, or LaTeX; as csv the ranking alone.

    Args:
        board: of `rank_explainers`.
        runs: from which it was made.
    """
    if format == "csv":
        return csv(board)
    if format == "json":
        return json_rows(board)
    finished, blocks = _finished(runs), []
    names = sweep_names(finished)
    for (dataset, protocol), rows in board.groupby(TOGETHER):
        networks = finished[(finished["dataset"] == dataset) & (finished["protocol"] == protocol)]
        heading = f"{dataset}, protocol {protocol}" if board["protocol"].nunique() > 1 else str(dataset)
        tables = [tabulated(_explainers(rows), format, names=2), _networks(networks, names, format)]
        tables += [tabulated(subjects, format, names=1)] if len(subjects := _subjects(networks)) else []
        blocks += [HEADINGS.get(format, "") + inert(heading, format), *tables]
    caption = "\n".join(BULLETS.get(format, "") + line for line in _caption(board))
    return "\n\n".join([*blocks, caption]) + "\n"


def _finished(runs: pd.DataFrame) -> pd.DataFrame:
    finished = runs[runs["status"] == "finished"]
    return finished.dropna(subset=[RELIANCE]) if RELIANCE in finished else finished.head(0)


def _ranked(networks: pd.DataFrame, score: str) -> dict[str, object]:
    """An explainer's row of the board."""
    explainer, seeds = score.removeprefix(SCORE), networks.groupby("seed")
    values = np.array([OfSeed.measured(own, explainer) for _, own in seeds])
    mean, low, high = (OfSeed(*ends) for ends in interval(values).within(*RANGES.T))
    failures = {"chance": low.auroc <= 0.5, "same untrained": mean.untrained > SAME}
    row: dict[str, object] = {
        "explainer": explainer,
        "note": ", ".join(name for name, fails in failures.items() if fails),
    }
    row |= {"networks": seeds.size().min(), "seeds": len(seeds)}
    for measure, *numbers in zip(MEASURES, mean, low, high, strict=True):
        row |= dict(zip((measure, f"{measure}:low", f"{measure}:high"), numbers, strict=True))
    return row


def _explainers(rows: pd.DataFrame) -> pd.DataFrame:
    """The cells of a table: every explainer and its measures."""
    cells = rows[["explainer", "note", "networks"]].astype(str)
    for measure, title in MEASURES.items():
        ends = rows[[measure, f"{measure}:low", f"{measure}:high"]].itertuples(index=False)
        cells[title] = [with_interval(*numbers, decimals=2) for numbers in ends]
    return cells


def _networks(runs: pd.DataFrame, names: Mapping[str, SweepName], format: Format) -> str:
    """The table of every network and its flip rate, the least reliant first."""
    mean = runs.groupby(NETWORK)[RELIANCE].transform("mean")
    rows = []
    for (_, key, mitigation, masks, strength), own in runs.assign(mean=mean).groupby(["mean", *NETWORK]):
        mean, low, high = map(float, interval(own[RELIANCE].to_numpy(float)).within(*range_of(RELIANCE)))
        _, network, difference = names[str(key)]
        rows.append((network, difference, mitigation, masks, f"{strength:.3g}", with_interval(mean, low, high)))
    columns = ["network", "difference", "mitigation", "masks", "strength", RELIANCE]
    cells = pd.DataFrame(rows, columns=columns)
    usual = [name for name, value in (("difference", ""), ("masks", "true")) if (cells[name] == value).all()]
    return tabulated(cells.drop(columns=usual), format, names=4 - len(usual))


def _subjects(networks: pd.DataFrame) -> pd.DataFrame:
    """The cells of a table: of each measure of faithfulness the share of inputs on which it is right.

    By seed the mean over networks, those that use the shortcut (flip rate above `USES`) apart.
    """
    uses, rows = networks[RELIANCE] > USES, []
    for name in sorted(column for column in map(str, networks) if column.startswith(SUBJECT)):
        row = {"measure of faithfulness": name.removeprefix(SUBJECT)}
        for title, own in (("right, where used", networks[uses]), ("right, where not", networks[~uses])):
            values = own.groupby("seed")[name].mean().dropna().to_numpy(float)
            within = interval(values).within(*range_of(name)) if len(values) else (np.nan,) * 3
            row[title] = with_interval(*map(float, within), decimals=2)
        rows.append(row)
    return pd.DataFrame(rows)


def _caption(board: pd.DataFrame) -> list[str]:
    seeds = ", ".join(sorted({str(count) for count in board["seeds"]}))
    return [
        f"cells: mean [95 % t interval over {seeds} seeds] of a measure of each seed's networks",
        protocols_in_words(board),
        f"{MEASURES['rank_correlation']}: Spearman's, of the share of saliency in the mask ({SCORE[:-1]})",
        f"{MEASURES['untrained']}: rank correlation of attributions with those of an untrained network",
        "right: share of inputs on which a measure of faithfulness prefers the region that the network uses to the "
        f"other and to random pixels; 1/3 by chance; used: by networks of flip rate above {USES:g}",
        f"note: chance: the AUROC's interval reaches 0.5; same untrained: that correlation is above {SAME:g}",
    ]
