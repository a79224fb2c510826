"""Cells of reproductions: a name for the same runs, and a suite of these alone."""

from __future__ import annotations

import re

import pytest
from rrrbench.benchmark.ranking.cells import cell_of, cells, rows_of_cell, suite_of_cell
from rrrbench.benchmark.ranking.join import stack_of
from rrrbench.benchmark.ranking.published import papers, published_by, suite_of
from rrrbench.datasets.registry import UnknownName


@pytest.mark.parametrize("paper", papers())
def test_a_cell_is_one_set_of_runs_and_its_suite_has_no_others(paper):
    suite, known = suite_of(paper), cells(published_by(paper))
    for name, rows in known.items():
        assert len({(row.sweep, row.mitigation, row.strength, row.masks) for row in rows}) == 1, name
        alone, stack = suite_of_cell(rows[0], suite), stack_of(rows[0], suite)
        assert sorted(alone.keys()) == sorted(stack.places()), name
        assert stack_of(rows[0], alone).places() == stack.places()


def test_the_name_of_a_cell_needs_no_quotes():
    names = {cell_of(row) for row in published_by("ross2017")}
    assert "decoy-mnist_60k/erm" in names
    assert all(re.fullmatch(r"[\w./+=-]+", name) for name in names - {""})


def test_an_unknown_cell_names_the_nearest():
    with pytest.raises(UnknownName, match="decoy-mnist_60k/erm"):
        rows_of_cell(published_by("ross2017"), "decoy-mnist_60/erm")
