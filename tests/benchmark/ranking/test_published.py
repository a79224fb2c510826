"""Published files are whole, and a wrong row is an error."""

from __future__ import annotations

from collections import Counter

import pytest
from reproduced import row
from rrrbench.benchmark.ranking.published import papers, published_by, suite_of


@pytest.mark.parametrize("paper", papers())
def test_published_numbers_are_whole(paper):
    rows = published_by(paper)
    assert rows
    assert all(row.paper == paper and row.source and row.dataset and row.method for row in rows)
    assert {row.masks for row in rows if not row.sweep} <= {"true"}
    identities = Counter(row.model_dump_json(include={"source", "dataset", "network", "method", "condition", "metric"})
                   for row in rows)  # fmt: skip
    assert [key for key, times in identities.items() if times > 1] == []


def test_every_paper_of_the_issue_is_there():
    assert papers() == ["friedrich2023", "ghitu2025", "heo2023", "rieger2020", "ross2017"]
    assert {one.provenance for one in published_by("heo2023")} == {"recalled"}
    assert len({(one.sweep, one.strength) for one in published_by("ross2017") if one.sweep == "Decoy-MNIST, 56k"}) == 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": "96.07"}, "in percent"),
        ({"value": ""}, "only a figure"),
        ({"provenance": "rumour"}, "provenance"),
        ({"strength": "best"}, "best"),
        ({"metric": "accuracy/randm"}, "accuracy/randm"),
        ({"seeds": "some"}, "seeds"),
    ],
)
def test_a_row_that_is_wrong_is_an_error(changes, message):
    with pytest.raises((ValueError, LookupError), match=message):
        row(**changes)


def test_a_paper_without_numbers_is_an_error():
    with pytest.raises(LookupError, match="did you mean ross2017"):
        published_by("ros2017")


def test_fewer_seeds_are_the_first_ones():
    few = suite_of("ross2017", 2)
    assert {stack.seeds for stack in few.stacks()} == {(0, 1)}
    assert set(few.keys()) < set(suite_of("ross2017").keys())
