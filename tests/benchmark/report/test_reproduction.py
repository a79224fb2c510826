"""The page of a reproduction: recalled numbers are dim, verdicts are counted."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from made_up_rows import made_up_recording
from reproduced import SUITE, records, row
from rrrbench.benchmark.ranking.join import join_runs, stack_of
from rrrbench.benchmark.report.reproduction import FEW_SEEDS, render_reproduction, verdicts_in_words
from rrrbench.benchmark.report.reproduction_pages import reproductions
from rrrbench.benchmark.report.site import write_site
from tiny import tiny_suite

RESULTS = Path(__file__).parents[3] / "results"


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


def test_a_verdict_on_fewer_than_three_seeds_says_how_many():
    suite = tiny_suite(label="main", seeds=[0, 1, 2])
    stack = stack_of(row(), suite)
    for seeds, said in ((1, "reproduced, but on 1 seed only"), (2, "reproduced, but on 2 seeds only")):
        table = join_runs([row()], suite, records(stack, [0.9, 0.9, 0.9]).head(seeds))
        for text in (render_reproduction(table), render_reproduction(table, "md")):
            assert said in text
            assert text.endswith(FEW_SEEDS)
        assert verdicts_in_words(table) == "1 reproduced"
    for enough in (
        join_runs([row()], suite, records(stack, [0.9, 0.9, 0.9])),
        join_runs([row()], suite, records(stack, [0.9, 0.9, 0.9]).head(0)),
    ):
        assert "only" not in render_reproduction(enough)
        assert FEW_SEEDS not in render_reproduction(enough)


@pytest.mark.long
def test_pages_say_on_how_few_seeds_a_verdict_rests_and_filter_by_the_verdict_alone(tmp_path):
    (tmp_path / "reproduced").mkdir()
    table = join_runs([row(condition="all masks", note="made up")], SUITE, records(stack_of(row(), SUITE), [0.9, 0.9]))
    table.to_csv(tmp_path / "reproduced/own.csv", index=False)
    write_site([made_up_recording(SUITE)], tmp_path / "site", tmp_path)
    page = (tmp_path / "site/reproduced.html").read_text()
    assert 'data-verdict="reproduced"' in page
    assert ">reproduced, but on 2 seeds only</td>" in page
    assert f"<p>{FEW_SEEDS}</p>" in page


def test_committed_pages_say_which_verdicts_rest_on_few_seeds():
    for paper in reproductions(RESULTS):
        told = (RESULTS / f"reproduced/{paper.paper}.md").read_text().count(" only |")
        assert told == sum(bool(row["caution"]) for row in paper.rows()), paper.paper
