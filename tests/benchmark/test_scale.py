import pytest
from scale import measure
from tabulate import tabulate


@pytest.mark.slow
def test_a_thousand_runs_and_how_long_they_take_to_read(uri, tmp_path, capsys):
    """The figures for 10,000, and how to measure them, are in docs/scaling-tracking.md."""
    found = measure(1000, uri, tmp_path)
    with capsys.disabled():
        print("\n" + tabulate(found.items(), floatfmt=".1f"))
    assert found["leaderboard, s"] < 10
    assert found["run again, s"] < 5
