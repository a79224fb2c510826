"""Chooses a mitigation's strength by a rule.

The runs to choose from are of one mitigation, with one kind of masks, in one sweep. A rule sees the columns that it
declares and no others: `oracle` alone sees a test environment, and is a bound and never a result.
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

SHIFTED = ("accuracy/random", "accuracy/conflict", "accuracy/clean", "accuracy/exchanged", "accuracy/removed")
"""Accuracies where the shortcut no longer helps; the first that a dataset has is its headline.

The last two are of twins that are made up from masks, of data whose generator nobody knows.
"""

BASELINE = "erm"
"""The mitigation that the others are compared with."""
_ONE_POINT = 0.01
_DIGITS = 12  # of a mean: equal ones must tie, whatever the order of their sum


class NoEligibleStrength(ValueError):
    """Runs among which no strength can be chosen; the message is the reason."""


class UnknownRule(LookupError):
    """A name that no rule has."""


@dataclass(frozen=True)
class Rule:
    """A way to choose a strength.

    Attributes:
        meaning: one line, shown under every table.
        reads: the columns of the flat rows that it sees.
        choose: takes the eligible strengths, ascending, and their scores, and returns one of the strengths. A score is
            the mean over seeds of the first of `reads` that the runs have.
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
"""Every rule by its name. Of equally good strengths every rule but `knee` takes the smaller."""


def rule_named(name: str) -> Rule:
    """The rule of this name.

    Raises:
        UnknownRule: no rule has this name; the message has the nearest names.
    """
    if name not in RULES:
        nearest = difflib.get_close_matches(name, RULES, cutoff=0.5) or RULES
        raise UnknownRule(f"no selection rule is called {name!r}; did you mean {' or '.join(nearest)}?")
    return RULES[name]


def eligible(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of the strengths that may be chosen: those with a finished run for every seed.

    So all strengths are compared on the same seeds, and no strength looks good because its bad runs are missing.

    Raises:
        NoEligibleStrength: no strength has all seeds finished.
        ValueError: two runs share strength and seed.
    """
    return runs[_complete(runs)]


def select(rule: str | Rule, runs: pd.DataFrame) -> float:
    """The strength that the rule chooses, by the mean over seeds of the columns it reads.

    Raises:
        UnknownRule: no rule has this name.
        NoEligibleStrength: no strength has all seeds finished, or no strength has a column that the rule reads.
    """
    if isinstance(rule, str):
        rule = rule_named(rule)
    chosen = _complete(runs)
    strengths = runs["strength"].to_numpy(float)[chosen]
    order = strengths.argsort(kind="stable")
    values = runs.reindex(columns=list(rule.reads)).to_numpy(float)[chosen][order]
    strengths = np.unique(strengths)  # with equally many seeds each, or they would not be complete
    means = values.reshape(len(strengths), -1, len(rule.reads)).mean(1).round(_DIGITS)
    scores = means[np.arange(len(means)), (~np.isnan(means)).argmax(1)]
    known = ~np.isnan(scores)
    if not known.any():
        raise NoEligibleStrength(f"{rule.name} reads {' or '.join(rule.reads)}, which no strength has in every seed")
    return float(rule.choose(strengths[known], scores[known]))


def _complete(runs: pd.DataFrame) -> Bool[np.ndarray, "runs"]:
    """Whether the strength of each run is eligible."""
    places = list(zip(runs["strength"], runs["seed"], runs["status"], strict=True))
    (strength, seed), times = Counter((strength, seed) for strength, seed, _ in places).most_common(1)[0]
    if times > 1:
        raise ValueError(f"two runs have strength {strength:g} and seed {seed}: keep one record a run")
    seeds = len({seed for _, seed, _ in places})
    finished = Counter(strength for strength, _, status in places if status == "finished")
    complete = {strength for strength, count in finished.items() if count == seeds}
    if any(status == "inert" for _, _, status in places):
        complete.discard(0)  # it is ERM: a mitigation that is inert elsewhere is not ranked by it
    if not complete:
        raise NoEligibleStrength(_reason(runs))
    return np.array([strength in complete for strength, _, _ in places])


def _reason(runs: pd.DataFrame) -> str:
    unfinished = runs.loc[runs["status"] != "finished", "status"].value_counts().sort_index()
    reasons = [f"{count} {status} run{'s' if count > 1 else ''}" for status, count in unfinished.items()]
    errors = runs.loc[runs["status"] == "inapplicable", "error"] if "inapplicable" in unfinished else []
    reasons += [f"because {error}" for error in dict.fromkeys(errors)]
    return ", ".join(reasons) or f"no strength has all {runs['seed'].nunique()} seeds"
