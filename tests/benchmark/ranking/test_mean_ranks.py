"""Mean ranks, Friedman's test and the critical difference, against scipy and Demšar's own example."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rrrbench.benchmark.ranking.mean_ranks import mean_ranks
from scipy.stats import friedmanchisquare

CRITICAL = {2: 1.960, 3: 2.343, 4: 2.569, 5: 2.728, 10: 3.164}
"""Demšar 2006, Table 5 (a): critical values of the two-tailed Nemenyi test at 5 %, by the number of methods."""


def sweeps(count, methods, seed=0):
    random = np.random.default_rng(seed)
    return [pd.Series(random.random(methods), index=[f"m{i}" for i in range(methods)]) for _ in range(count)]


@pytest.mark.parametrize("methods", [3, 4, 5, 10])
def test_the_critical_difference_is_that_of_the_paper(methods):
    expected = CRITICAL[methods] * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert mean_ranks(sweeps(14, methods)).critical == pytest.approx(expected, rel=1e-3)


def test_friedmans_test_is_scipys_with_ties_too():
    scores = sweeps(6, 4)
    scores[2][:] = 0.5
    scores[3][:2] = 0.5
    assert mean_ranks(scores).friedman == pytest.approx(friedmanchisquare(*pd.DataFrame(scores).to_numpy().T).pvalue)


def test_methods_that_always_tie_are_alike():
    assert mean_ranks([pd.Series(0.5, index=list("abc"))] * 4).friedman == 1


def test_ranks_are_means_over_sweeps_best_first():
    scores = [pd.Series({"a": 0.9, "b": 0.5, "c": 0.7}), pd.Series({"c": 0.9, "b": 0.5, "a": 0.7})]
    found = mean_ranks([*scores, pd.Series({"a": 1.0, "b": 1.0, "c": 0.0})])
    assert found.ranks.to_dict() == pytest.approx({"a": 4.5 / 3, "c": 2, "b": 7.5 / 3})
    assert list(found.ranks.index) == ["a", "c", "b"]


def test_a_sweep_of_few_methods_does_not_reduce_the_many_of_the_others():
    found = mean_ranks([*sweeps(5, 8), pd.Series({"m0": 1.0, "m1": 0.0})])
    assert (found.sweeps, len(found.ranks)) == (5, 8)


def test_two_sweeps_of_many_methods_do_not_hide_three_of_fewer():
    found = mean_ranks([*sweeps(2, 20), *sweeps(2, 4)])
    assert (found.sweeps, len(found.ranks)) == (4, 4)


@pytest.mark.parametrize("scores", [[], sweeps(2, 5), sweeps(5, 2), [pd.Series({"a": 1.0}), pd.Series({"b": 1.0})]])
def test_too_little_is_not_ranked(scores):
    assert mean_ranks(scores) is None
