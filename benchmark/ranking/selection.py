"""How one strength is chosen from a sweep.

A sweep is the records of one dataset, network and mitigation. A rule is given the columns it declares and no others,
so none can see a test environment except `oracle`, which is a bound and never a result.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

Strengths = Float[np.ndarray, "strengths"]
Scores = Float[np.ndarray, "strengths"]

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
        choose: from the eligible strengths, ascending, and their scores to one of them. A score is the mean over
            seeds of the first of `reads` that the runs have.
    """

    name: str
    meaning: str
    reads: tuple[str, ...]
    choose: Callable[[Strengths, Scores], float]


def headline(runs: pd.DataFrame) -> pd.Series:
    """In each row, the first of the `SHIFTED` accuracies that it has; NaN where it has none."""
    return runs.reindex(columns=list(SHIFTED)).bfill(axis=1).iloc[:, 0]


def _best(strengths: Strengths, scores: Scores) -> float:
    return strengths[scores.argmax()]  # of equals the first: the smaller strength


def _knee(strengths: Strengths, scores: Scores) -> float:
    lost = (scores.max() - scores).round(_DIGITS)
    return strengths[lost <= _ONE_POINT].max()


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
        Rule("oracle", "the best shifted test accuracy: a bound, never a result", SHIFTED, _best),
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
    return sweep[_complete(sweep)]


def select(rule: str | Rule, sweep: pd.DataFrame) -> float:
    """The strength that the rule chooses, from the mean over seeds of the columns it reads.

    Raises:
        UnknownRule: no rule has this name.
        NoEligibleStrength: no strength has all seeds finished, or none has what the rule reads.
    """
    if isinstance(rule, str):
        rule = rule_named(rule)
    chosen = _complete(sweep)
    strengths = sweep["strength"].to_numpy(float)[chosen]
    order = strengths.argsort(kind="stable")
    values = sweep.reindex(columns=list(rule.reads)).to_numpy(float)[chosen][order]
    strengths = np.unique(strengths)  # with equally many seeds each, or they would not be complete
    means = values.reshape(len(strengths), -1, len(rule.reads)).mean(1).round(_DIGITS)
    scores = means[np.arange(len(means)), (~np.isnan(means)).argmax(1)]
    known = ~np.isnan(scores)
    if not known.any():
        raise NoEligibleStrength(f"{rule.name} reads {' or '.join(rule.reads)}, which no strength has in every seed")
    return float(rule.choose(strengths[known], scores[known]))


def _complete(sweep: pd.DataFrame) -> Bool[np.ndarray, "runs"]:
    """Of each run, whether its strength is eligible."""
    runs = list(zip(sweep["strength"], sweep["seed"], sweep["status"], strict=True))
    (strength, seed), times = Counter((strength, seed) for strength, seed, _ in runs).most_common(1)[0]
    if times > 1:
        raise ValueError(f"two runs have strength {strength:g} and seed {seed}: keep one record a run")
    seeds = len({seed for _, seed, _ in runs})
    finished = Counter(strength for strength, _, status in runs if status == "finished")
    complete = {strength for strength, count in finished.items() if count == seeds}
    if any(status == "inert" for _, _, status in runs):
        complete.discard(0)  # it is ERM: a mitigation that is inert elsewhere is not ranked by it
    if not complete:
        raise NoEligibleStrength(_reason(sweep))
    return np.array([strength in complete for strength, _, _ in runs])


def _reason(sweep: pd.DataFrame) -> str:
    unfinished = sweep.loc[sweep["status"] != "finished", "status"].value_counts().sort_index()
    reasons = [f"{count} {status} run{'s' if count > 1 else ''}" for status, count in unfinished.items()]
    errors = sweep.loc[sweep["status"] == "inapplicable", "error"] if "inapplicable" in unfinished else []
    reasons += [f"because {error}" for error in dict.fromkeys(errors)]
    return ", ".join(reasons) or f"no strength has all {sweep['seed'].nunique()} seeds"
