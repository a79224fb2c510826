"""The page of a reproduction: recalled numbers are dim, verdicts are counted."""

from __future__ import annotations

import pandas as pd
from reproduced import SUITE, records, row
from rrrbench.benchmark.ranking.join import join_runs, stack_of
from rrrbench.benchmark.report.reproduction import render_reproduction, verdicts_in_words


def test_recalled_numbers_are_shown_dim_and_without_a_verdict():
    one = row(provenance="recalled")
    table = join_runs([one], SUITE, records(stack_of(one, SUITE), [0.9, 0.9]))
    assert table.iloc[0]["verdict"] == "recalled"
    text = render_reproduction(table, dim=lambda cell: f"<{cell}>")
    assert "<0.900 (1)>" in text
    assert verdicts_in_words(table) == "1 recalled"


def test_what_only_a_wide_interval_reproduces_is_counted():
    stack = stack_of(row(), SUITE)
    near, far = (join_runs([row(value=value)], SUITE, records(stack, [0.7, 0.9])) for value in (0.805, 0.5))
    table = pd.concat([near, far]).assign(verdict="reproduced")
    assert verdicts_in_words(table) == "2 reproduced (1 of them by the interval alone)"
    assert verdicts_in_words(near) == "1 reproduced"
