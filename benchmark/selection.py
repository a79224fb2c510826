"""How one strength is chosen from a sweep.

A sweep is the records of one dataset, network and mitigation. A rule is given the columns it declares and no others,
so none can see a test environment except `oracle`, which is a bound and never a result.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

SHIFTED = ("accuracy/random", "accuracy/conflict", "accuracy/clean")
"""Accuracies where the shortcut no longer helps; the first that a dataset has is its headline."""

_ONE_POINT = 0.01
_DIGITS = 12  # of a mean: equal ones must tie, whatever the order of their sum


class NoEligibleStrength(ValueError):
    """A sweep from which nothing can be chosen; the message is the reason."""


class UnknownRule(LookupError):
    """A name that no rule has."""


@dataclass(frozen=True)
class Rule:
    """A way to choose a strength.

    Attributes:
        meaning: one line, shown under every table.
        reads: the columns of the records that it sees.
        choose: from the means over seeds to a strength. The means have a row for each eligible strength, ascending,
            and the columns `reads`, NaN where a run lacks one.
    """

    name: str
    meaning: str
    reads: tuple[str, ...]
    choose: Callable[[pd.DataFrame], float]


def headline(runs: pd.DataFrame) -> pd.Series:
    """In each row, the first of the `SHIFTED` accuracies that it has; NaN where it has none."""
    return runs.reindex(columns=list(SHIFTED)).bfill(axis=1).iloc[:, 0]


def _best(means: pd.DataFrame) -> float:
    return _at_maximum(means.iloc[:, 0])


def _knee(means: pd.DataFrame) -> float:
    validation = means.iloc[:, 0]
    lost = (validation.max() - validation).round(_DIGITS)
    return lost[lost <= _ONE_POINT].index.max()


def _oracle(means: pd.DataFrame) -> float:
    return _at_maximum(headline(means))


def _at_maximum(scores: pd.Series) -> float:
    return scores.index[int(scores.argmax())]  # of equals the first: the smaller strength


RULES = {
    rule.name: rule
    for rule in (
        Rule("val_iid", "the best accuracy on biased validation data", ("accuracy/validation",), _best),
        Rule(
            "knee",
            "the largest strength whose biased validation accuracy is within 1 point of the best",
            ("accuracy/validation",),
            _knee,
        ),
        Rule(
            "val_swap",
            "the best validation accuracy after the masked region is exchanged between inputs",
            ("accuracy/validation_swap",),
            _best,
        ),
        Rule("oracle", "the best shifted test accuracy: a bound, never a result", SHIFTED, _oracle),
    )
}
"""By name. Of equally good strengths all but `knee` take the smaller."""


def rule_named(name: str) -> Rule:
    """Raises UnknownRule, with the nearest names."""
    if name not in RULES:
        nearest = difflib.get_close_matches(name, RULES, cutoff=0.5) or RULES
        raise UnknownRule(f"no selection rule is called {name!r}; did you mean {' or '.join(nearest)}?")
    return RULES[name]


def eligible(sweep: pd.DataFrame) -> pd.DataFrame:
    """The runs of the strengths that may be chosen: every seed of the sweep, each run finished.

    So all strengths are compared on the same seeds, and none looks good because its bad runs are missing.

    Raises:
        NoEligibleStrength: no strength has all seeds finished.
        ValueError: two runs share strength and seed.
    """
    twice = sweep[sweep.duplicated(["strength", "seed"])]
    if len(twice):
        run = twice.iloc[0]
        raise ValueError(f"two runs have strength {run['strength']:g} and seed {run['seed']}: keep one record a run")
    finished = sweep[sweep["status"] == "finished"]
    complete = finished.groupby("strength")["seed"].transform("size") == sweep["seed"].nunique()
    if (
        sweep["status"] == "inert"
    ).any():  # strength 0 is ERM: a mitigation that is inert elsewhere is not ranked by it
        complete &= finished["strength"] > 0
    if not complete.any():
        raise NoEligibleStrength(_reason(sweep))
    return finished[complete]


def select(rule: str | Rule, sweep: pd.DataFrame) -> float:
    """The strength that the rule chooses, from the mean over seeds of the columns it reads.

    Raises:
        UnknownRule: no rule has this name.
        NoEligibleStrength: no strength has all seeds finished, or none has what the rule reads.
    """
    if isinstance(rule, str):
        rule = rule_named(rule)
    seen = eligible(sweep).reindex(columns=["strength", *rule.reads])
    means = seen.groupby("strength").agg(lambda column: column.mean(skipna=False)).round(_DIGITS).dropna(how="all")
    if means.empty:
        raise NoEligibleStrength(f"{rule.name} reads {' or '.join(rule.reads)}, which no strength has in every seed")
    return float(rule.choose(means))


def _reason(sweep: pd.DataFrame) -> str:
    unfinished = sweep.loc[sweep["status"] != "finished", "status"].value_counts().sort_index()
    reasons = [f"{count} {status} run{'s' if count > 1 else ''}" for status, count in unfinished.items()]
    return ", ".join(reasons) or f"no strength has all {sweep['seed'].nunique()} seeds"
