"""Records to a ranking: one row a sweep, at the strength that a rule chose."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from jaxtyping import Float
from tabulate import tabulate

from ..metrics.column import Column
from .selection import SHIFTED, NoEligibleStrength, headline, rule_named, select
from .statistics import interval, with_interval

Format = Literal["table", "csv", "md", "tex"]

_SETTING = ["dataset", "network"]
_METHOD = [*_SETTING, "mitigation"]
_SWEEP = [*_METHOD, "masks"]
_RUN = [*_SWEEP, "strength", "seed", "run_key", "status", "needs", "error"]
_ROW = [*_SWEEP, "rule", "strength", "seeds", "needs", "note"]
INDEPENDENT = "mask-independent"
_WIDTH = 150


@cache
def columns() -> tuple[Column, ...]:
    """The metrics' columns, from left to right."""
    from ..metrics.base import metrics  # and torch, which a leaderboard does without until it is rendered

    return metrics.columns()


def leaderboard(records: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The sweeps that have an eligible strength, best headline accuracy first within dataset and network.

    Args:
        records: one row a run.
        rule: a name in `selection.RULES`.

    Returns:
        `dataset, network, mitigation, masks, rule, strength, seeds, needs, note`, then for every metric its mean over
        seeds `ID` and the ends of that mean's 95 % interval, `ID:low` and `ID:high`: the metrics of the records,
        `regret` (headline accuracy lost to the oracle's choice, by seed), `mask_effect` (headline accuracy with true
        masks minus that with wrong ones at the same strength, by seed) where both were run, and `seconds_over_erm`
        where ERM was. The note is `mask-independent` where the mask effect's interval reaches 0.

    Raises:
        UnknownRule: no rule has this name.
        ValueError: a sweep has two runs of one strength and seed.
    """
    records = _with_cost(records.sort_values([*_SWEEP, "strength", "seed"]))
    measured = [str(column) for column in records.select_dtypes("number") if column not in _RUN]
    read = [column for column in records if column in _RUN or column in measured]  # configurations are long texts
    records = records[read].assign(headline=headline(records))
    wrong = dict(iter(records[records["masks"] == "wrong"].groupby(_METHOD)))
    rows = [
        _row(sweep, wrong.get(tuple(sweep[_METHOD].iloc[0])), choice, rule, measured)
        for sweep, choice in _choices(records, rule)
        if not isinstance(choice, NoEligibleStrength)
    ]
    compared = ["regret", *(["mask_effect"] if wrong else [])]
    columns = [f"{metric}{end}" for metric in [*measured, *compared] for end in ("", ":low", ":high")]
    board = pd.DataFrame(rows, columns=[*_ROW, *columns])
    ranked = board.assign(score=-headline(board)).sort_values([*_SETTING, "score", "mitigation"], ignore_index=True)
    return ranked.drop(columns="score")


def unranked(records: pd.DataFrame, rule: str = "val_iid") -> pd.DataFrame:
    """The sweeps that the leaderboard leaves out: `dataset, network, mitigation, masks, reason`."""
    rows = [
        (*sweep[_SWEEP].iloc[0], str(choice))
        for sweep, choice in _choices(records, rule)
        if isinstance(choice, NoEligibleStrength)
    ]
    return pd.DataFrame(rows, columns=[*_SWEEP, "reason"])


def render(board: pd.DataFrame, format: Format = "table", left_out: pd.DataFrame | None = None) -> str:
    """A leaderboard as text under 150 columns wide, as csv with all columns in full precision, as Markdown or LaTeX.

    LaTeX has a `tabular` a dataset, for the package booktabs.

    Args:
        left_out: the sweeps that are `unranked`, to be named with their reasons; not in a csv.

    Raises:
        ValueError: there is no such format.
    """
    if format not in get_args(Format):
        raise ValueError(f"no format is called {format!r}; known: {', '.join(get_args(Format))}")
    if format == "csv":
        return board.to_csv(index=False)
    reasons = [] if left_out is None else [_not_ranked(row) for row in left_out.itertuples()]
    if board.empty:
        return "\n".join(["no sweep has an eligible strength", *reasons]) + "\n"
    networks = board["network"].nunique() > 1
    blocks = [_block(str(dataset), rows, networks, format) for dataset, rows in board.groupby("dataset")]
    mark = {"md": "- ", "tex": "% "}.get(format, "")
    caption = "\n".join(f"{mark}{line}" for line in (*reasons, *_caption(board)))
    return "\n\n".join([*blocks, caption]) + "\n"


def _choices(records: pd.DataFrame, rule: str) -> Iterator[tuple[pd.DataFrame, float | NoEligibleStrength]]:
    rule_named(rule)  # no sweep at all should not hide a misspelt rule
    for _, sweep in records.groupby(_SWEEP):
        try:
            yield sweep, select(rule, sweep)
        except NoEligibleStrength as reason:
            yield sweep, reason


def _with_cost(records: pd.DataFrame) -> pd.DataFrame:
    erm = records[(records["mitigation"] == "erm") & (records["status"] == "finished")]
    if erm.empty or "seconds" not in records:
        return records
    baseline = erm.groupby(_SETTING)["seconds"].mean().rename("baseline")
    return records.assign(seconds_over_erm=records["seconds"] / records.join(baseline, on=_SETTING)["baseline"])


def _row(
    sweep: pd.DataFrame, wrong: pd.DataFrame | None, strength: float, rule: str, measured: list[str]
) -> dict[str, object]:
    chosen = sweep["strength"].to_numpy() == strength
    compared = (_regret(sweep, strength), _mask_effect(sweep, wrong, strength))
    values = np.column_stack([sweep[measured].to_numpy(float)[chosen], *compared])
    row = {name: sweep[name].iat[0] for name in (*_SWEEP, "needs")}
    row |= {"rule": rule, "strength": strength, "seeds": len(values)}
    for metric, mean, low, high in zip([*measured, "regret", "mask_effect"], *interval(values), strict=True):
        row |= {metric: mean, f"{metric}:low": low, f"{metric}:high": high}
    return row | {"note": INDEPENDENT if row["mask_effect:low"] <= 0 else ""}


def _regret(sweep: pd.DataFrame, strength: float) -> Float[np.ndarray, "seeds"]:
    """By seed: a sweep is sorted by it, and eligible strengths have every one."""
    strengths, scores = (sweep[column].to_numpy(float) for column in ("strength", "headline"))
    chosen = scores[strengths == strength]
    try:
        return scores[strengths == select("oracle", sweep)] - chosen
    except NoEligibleStrength:
        return np.full_like(chosen, np.nan)  # no environment without the shortcut's help


def _mask_effect(sweep: pd.DataFrame, wrong: pd.DataFrame | None, strength: float) -> Float[np.ndarray, "seeds"]:
    """By seed; NaN unless the sweep has true masks and every seed is finished with wrong ones at this strength."""
    chosen = sweep["strength"].to_numpy() == strength
    if wrong is None or sweep["masks"].iat[0] != "true":
        return np.full(chosen.sum(), np.nan)
    finished = wrong.loc[wrong["status"] == "finished", ["strength", "seed", "headline"]]
    same = finished[finished["strength"] == strength].set_index("seed")["headline"]
    headlines, seeds = (sweep[column].to_numpy()[chosen] for column in ("headline", "seed"))
    return headlines - same.reindex(seeds).to_numpy(float)


def _not_ranked(row: Any) -> str:
    masks = "" if row.masks == "true" else f", masks {row.masks}"
    return f"not ranked: {row.mitigation}{masks} on {row.dataset}, {row.network}: {row.reason}"


def _block(dataset: str, rows: pd.DataFrame, networks: bool, format: Format) -> str:
    controls = [name for name, usual in (("masks", "true"), ("note", "")) if (rows[name] != usual).any()]
    names = rows[[*(["network"] if networks else []), "mitigation", "needs", *controls]]
    cells = names.assign(strength=rows["strength"].map("{:.3g}".format), seeds=rows["seeds"].map(str))
    for shown in _shown(rows):
        ends = rows[[shown.id, f"{shown.id}:low", f"{shown.id}:high"]]
        cells[shown.title] = [cell(shown, *numbers) for numbers in ends.itertuples(index=False)]
    if format == "md":
        flat = cells.rename(columns=lambda title: title.replace("\n", " "))
        return f"### {dataset}\n\n{_tabulated(flat, 'pipe', len(names.columns))}"
    if format == "tex":
        flat = cells.rename(columns=lambda title: title.replace("\n", " "))
        return f"% {dataset}\n{_tabulated(flat, 'latex_booktabs', len(names.columns))}"
    return f"{dataset}\n\n{_fitted(cells, len(names.columns))}"


def _fitted(cells: pd.DataFrame, names: int) -> str:
    """A plain table whose longest names are wrapped until it is narrow enough."""
    longest = int(cells.iloc[:, :names].map(len).to_numpy().max())
    tables = (_tabulated(cells, "simple", names, room) for room in range(longest, 7, -1))
    narrow = (table for table in tables if max(map(len, table.splitlines())) < _WIDTH)
    return next(narrow, "") or _tabulated(cells, "simple", names, 8)


def _tabulated(cells: pd.DataFrame, style: str, names: int, room: int | None = None) -> str:
    """The first `names` columns to the left and at most `room` wide, numbers to the right."""
    numbers = len(cells.columns) - names
    return tabulate(
        cells.to_numpy().tolist(),
        list(cells.columns),
        style,
        disable_numparse=True,
        colalign=["left"] * names + ["right"] * numbers,
        maxcolwidths=[room] * names + [None] * numbers,
    )


def _shown(rows: pd.DataFrame) -> list[Column]:
    """The table's metrics that some row has; of the shifted accuracies only the headline."""
    present = [shown for shown in columns() if shown.id in rows and rows[shown.id].notna().any()]
    shifted = [shown.id for shown in present if shown.id in SHIFTED]
    return [shown for shown in present if shown.id not in shifted[1:]]


def cell(shown: Column, mean: float, low: float, high: float) -> str:
    """A mean with its interval, if the column shows it, in the metric's decimals."""
    ends = (low, high) if shown.interval else (np.nan, np.nan)
    return with_interval(mean, *ends, shown.decimals)


def _caption(board: pd.DataFrame) -> list[str]:
    fewest, most = board["seeds"].min(), board["seeds"].max()
    seeds = f"{most} seed{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} seeds"
    rules = [f"rule {name}: {rule_named(name).meaning}" for name in board["rule"].unique()]
    legends = [" ".join(f"{shown.title}: {shown.legend}".split()) for shown in _shown(board) if shown.legend]
    return [f"cells: mean [95 % bootstrap interval over {seeds}]", *rules, *legends]
