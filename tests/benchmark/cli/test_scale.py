import pandas as pd
import pytest
from scale import measure
from tabulate import tabulate


@pytest.mark.slow
def test_a_thousand_runs_are_logged_read_and_ranked(uri, tmp_path, capsys):
    """How long it takes is printed, and for 10,000 runs stands in docs/scaling-tracking.md with its command."""
    found = measure(1000, uri, tmp_path)
    with capsys.disabled():
        print("\n" + tabulate(found.items(), floatfmt=".1f"))
    assert found["runs"] == 1000
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert len(rows) == rows.run_key.nunique() == 1000
    assert (rows.status == "finished").all()
