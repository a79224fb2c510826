from __future__ import annotations

import pytest
from rrrbench.benchmark.speed import cases
from rrrbench.benchmark.speed.dispatch import small_step
from rrrbench.benchmark.speed.sizes import Size, straight


def test_a_column_that_bends_is_told_from_a_straight_column():
    fewer, more = Size(100, 1, 0, 2, 1, 8, 0, 0), Size(1000, 20, 0, 20, 10, 80, 0, 0)
    rows = {figure.what.rsplit(", ")[-1]: figure.row() for figure in straight([fewer, more])}
    assert {name: row[3] for name, row in rows.items()} == {
        "written": "no",
        "read": "yes",
        "leaderboard": "yes",
        "pages": "yes",
    }
    assert rows["written"][-1] == "once; 20.0 s over 1.0 s"


@pytest.mark.long
def test_the_parts_of_a_small_step_are_the_step(monkeypatch):
    monkeypatch.setattr("rrrbench.benchmark.speed.dispatch.STEPS", 1)
    operations = [int(row[1]) for row in small_step(cases.decoy.make(0))]
    batch, gradients, update, step, floor = operations
    assert (step, floor) == (batch + gradients + update, 1)
