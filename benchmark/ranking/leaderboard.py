"""Runs to a ranking of mitigations: in every sweep a row a mitigation, at the strength that a rule chose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from ..store.frames import is_ranked
from ..store.record import range_of
from .selection import BASELINE, NoEligibleStrength, headline, rule_named, select
from .statistics import holm, interval, paired_p
from .sweeps import sweep_names

_METHOD = ["sweep_key", "mitigation"]
_GROUP = [*_METHOD, "masks"]
_NAMES = ["dataset", "network", "training", "protocol", "mitigation", "masks"]
_RUN = [*_NAMES, "strength", "seed", "run_key", "sweep_key", "status", "needs", "error"]
_ROW = [*_NAMES, "rule", "strength", "seeds", "needs", "note", "sweep_key"]
# Metrics of which runs are compared, after the metrics of the runs themselves.
_COMPARED = ["regret", "mask_effect", "gain"]
INDEPENDENT = "mask-independent"
UNTRAINED = "untrained"
ABOVE_CHANCE = 0.1
"""Of the way from chance to every input right: less, and a network that never flips has nothing to flip."""


def rank_mitigations(runs: pd.DataFrame, rule: str) -> pd.DataFrame:
    """The mitigations that have an eligible strength, best headline accuracy first within their sweep.

    Args:
        runs: flat rows.
        rule: a name in `selection.RULES`.

    Returns:
        `dataset, network, training, protocol, mitigation, masks, rule, strength, seeds, needs, note, sweep_key`, then
        for every metric its mean over seeds `ID` and the ends of that mean's 95 % interval, `ID:low` and `ID:high`, cut
        at the metric's range: the metrics of the runs, `regret` (headline accuracy lost to the oracle's choice, by
        seed), `mask_effect` (headline accuracy with true masks minus that with wrong masks at the same strength, by
        seed) where both were run, and where the sweep has ERM `gain` (headline accuracy over ERM's, by seed) and
        `seconds_over_erm`. `gain_p` is the p value of the gain's paired t test, adjusted for all rows of the sweep
        (Holm). The note is `mask-independent` where the mask effect's interval reaches 0, and `untrained` where the
        network of a seed is near chance on the data that it was trained on: untrained rows stand below the other rows
        of their sweep, whatever their reliance.

    Raises:
        UnknownRule: no rule has this name.
        ValueError: a mitigation has two runs of one strength and seed in one sweep, or reports a metric under the name
            of a column that is made here.
    """
    if made := next(filter(is_ranked, map(str, runs)), None):
        raise ValueError(
            f"runs have the metric {made!r}, which the leaderboard makes from them: rename it where a mitigation "
            "reports it"
        )
    runs = _with_cost(runs.sort_values([*_GROUP, "strength", "seed"]))
    measured = [str(column) for column in runs.select_dtypes("number") if column not in _RUN]
    read = [column for column in runs if column in _RUN or column in measured]  # configurations are long texts
    runs = runs[read].assign(headline=headline(runs))
    wrong = dict(iter(runs[runs["masks"] == "wrong"].groupby(_METHOD)))
    plain = runs[(runs["mitigation"] == BASELINE) & (runs["status"] == "finished")]
    erm = {key: own.set_index("seed")["headline"] for key, own in plain.groupby("sweep_key")}
    ranges = {metric: range_of(metric) for metric in [*measured, *_COMPARED]}
    rows = [
        _row(own, wrong.get(tuple(own[_METHOD].iloc[0])), erm.get(own["sweep_key"].iat[0]), choice, rule, ranges)
        for own, choice in _choices(runs, rule)
        if not isinstance(choice, NoEligibleStrength)
    ]
    compared = ["regret", *(["mask_effect"] if wrong else []), *(["gain"] if erm else [])]
    columns = [f"{metric}{end}" for metric in [*measured, *compared] for end in ("", ":low", ":high")]
    board = pd.DataFrame(rows, columns=[*_ROW, *columns, *(["gain_p"] if erm else [])])
    if erm:
        board["gain_p"] = board.groupby("sweep_key")["gain_p"].transform(holm)
    placed = board.assign(score=-headline(board), untrained=board["note"] == UNTRAINED)
    return _sorted(placed, ["untrained", "score", "mitigation", "masks"]).drop(columns=["score", "untrained"])


def unranked_mitigations(runs: pd.DataFrame, rule: str = "val_iid") -> pd.DataFrame:
    """The mitigations that have no eligible strength, with the reason.

    Returns:
        `dataset, network, training, protocol, mitigation, masks, sweep_key, reason`.
    """
    names = [*_NAMES, "sweep_key"]
    rows = [
        (*own[names].iloc[0], str(choice))
        for own, choice in _choices(runs, rule)
        if isinstance(choice, NoEligibleStrength)
    ]
    return _sorted(pd.DataFrame(rows, columns=[*names, "reason"]), ["mitigation", "masks"])


def _choices(runs: pd.DataFrame, rule: str) -> Iterator[tuple[pd.DataFrame, float | NoEligibleStrength]]:
    """The runs of every mitigation in every sweep, by masks, with the strength that the rule chooses."""
    rule_named(rule)  # a table without runs should not hide a misspelt rule
    for _, own in runs.groupby(_GROUP):
        if (own["status"] == "evaluated").all():  # it was trained elsewhere, so there is no strength to choose
            yield own, float(own["strength"].iat[0])
            continue
        try:
            yield own, select(rule, own)
        except NoEligibleStrength as reason:
            yield own, reason


def _sorted(rows: pd.DataFrame, within: list[str]) -> pd.DataFrame:
    """Rows by sweep, in the order of their names, and by some columns within a sweep."""
    place = {key: place for place, key in enumerate(sweep_names(rows))}
    placed = rows.assign(place=rows["sweep_key"].map(place))
    return placed.sort_values(["place", *within], ignore_index=True).drop(columns="place")


def _with_cost(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `seconds_over_erm`, their seconds over the mean seconds of their own sweep's ERM."""
    erm = runs[(runs["mitigation"] == BASELINE) & (runs["status"] == "finished")]
    if erm.empty or "seconds" not in runs:
        return runs
    baseline = erm.groupby("sweep_key")["seconds"].mean()
    return runs.assign(seconds_over_erm=runs["seconds"] / runs["sweep_key"].map(baseline))


def _row(
    own: pd.DataFrame,
    wrong: pd.DataFrame | None,
    erm: pd.Series | None,
    strength: float,
    rule: str,
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, object]:
    chosen = own["strength"].to_numpy() == strength
    gains = _gain(own, erm, chosen)
    compared = (_regret(own, strength), _mask_effect(own, wrong, strength), gains)
    measured = [metric for metric in ranges if metric not in _COMPARED]
    values = np.column_stack([own[measured].to_numpy(float)[chosen], *compared])
    row = {name: own[name].iat[0] for name in (*_NAMES, "needs", "sweep_key")}
    row |= {"rule": rule, "strength": strength, "seeds": len(values)}
    row["gain_p"] = paired_p(gains)
    within = interval(values).within(*np.transpose(list(ranges.values())))
    for metric, mean, low, high in zip(ranges, *within, strict=True):
        row |= {metric: mean, f"{metric}:low": low, f"{metric}:high": high}
    independent = INDEPENDENT if row["mask_effect:low"] <= 0 else ""
    return row | {"note": UNTRAINED if untrained(own[chosen]).any() else independent}


def untrained(runs: pd.DataFrame) -> Bool[np.ndarray, "runs"]:
    """Whether each run's network is near chance, or predicts one class, where the shortcut helps as in training.

    By the mean of its accuracies within each class, which is 1 / classes for a network that guesses or always says the
    same. False for records without accuracies by class (protocol 1.0).
    """
    classes = runs.filter(regex=r"^class_accuracy/(aligned|observed)/\d+$").to_numpy(float)
    count = np.maximum((~np.isnan(classes)).sum(1), 1)
    balanced, chance = np.nansum(classes, axis=1) / count, 1 / count
    return (count > 1) & (balanced - chance < ABOVE_CHANCE * (1 - chance))


def _regret(own: pd.DataFrame, strength: float) -> Float[np.ndarray, "seeds"]:
    """By seed: runs are sorted by seed, and eligible strengths have every seed. NaN where no strength was chosen."""
    if (own["status"] == "evaluated").all():
        return np.full(len(own), np.nan)
    strengths, scores = (own[column].to_numpy(float) for column in ("strength", "headline"))
    chosen = scores[strengths == strength]
    try:
        return scores[strengths == select("oracle", own)] - chosen
    except NoEligibleStrength:
        return np.full_like(chosen, np.nan)  # no environment without the shortcut's help


def _mask_effect(own: pd.DataFrame, wrong: pd.DataFrame | None, strength: float) -> Float[np.ndarray, "seeds"]:
    """By seed; NaN unless the masks are true and every seed is finished with wrong masks at this strength."""
    chosen = own["strength"].to_numpy() == strength
    if wrong is None or own["masks"].iat[0] != "true":
        return np.full(chosen.sum(), np.nan)
    finished = wrong.loc[wrong["status"] == "finished", ["strength", "seed", "headline"]]
    same = finished[finished["strength"] == strength].set_index("seed")["headline"]
    headlines, seeds = (own[column].to_numpy()[chosen] for column in ("headline", "seed"))
    return headlines - same.reindex(seeds).to_numpy(float)


def _gain(own: pd.DataFrame, erm: pd.Series | None, chosen: Bool[np.ndarray, "runs"]) -> Float[np.ndarray, "seeds"]:
    """By seed; NaN for ERM itself, and where ERM has not finished every seed."""
    if erm is None or own["mitigation"].iat[0] == BASELINE:
        return np.full(chosen.sum(), np.nan)
    headlines, seeds = (own[column].to_numpy()[chosen] for column in ("headline", "seed"))
    return headlines - erm.reindex(seeds).to_numpy(float)
