"""Files of records: those of version 0.1 are upgraded, and a file without a record's columns is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from rrrbench.benchmark.report.recorded import BESIDE, recorded
from rrrbench.benchmark.store.frames import IDENTITY

RECORDS = Path(__file__).parents[3] / "results/records"


def test_a_file_without_a_records_columns_is_refused(tmp_path):
    pd.DataFrame({"seed": [0]}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match=r"mine\.parquet has no column 'dataset': write it with `rrrbench records"):
        recorded(str(tmp_path / "mine.parquet"))


@pytest.mark.parametrize("file", sorted(RECORDS.glob("*.parquet")), ids=lambda path: path.stem)
def test_every_committed_file_has_protocol_and_training(file):
    whole = recorded(str(file))
    assert set(whole.runs) >= {*IDENTITY, *BESIDE}
    assert whole.description
    for _, run in whole.runs.iloc[::100].iterrows():
        configuration = json.loads(run["configuration"])
        assert run["protocol"] == configuration["protocol"]
        told = dict(setting.split("=") for setting in run["training"].split(","))
        assert told == {name: str(configuration["training"][name]) for name in told}
        assert {"epochs", "batch_size"} <= told.keys()


def test_a_training_is_told_against_the_defaults_of_today(tmp_path):
    old = pd.read_parquet(RECORDS / "mitigations-quick.parquet").head(2)
    settings = [{"epochs": 50, "batch_size": 64, "gone": 1}, {"epochs": 50, "batch_size": 256}]
    old["configuration"] = [json.dumps({"training": own}) for own in settings]
    old.to_parquet(tmp_path / "old.parquet")
    assert list(recorded(str(tmp_path / "old.parquet")).runs["training"]) == ["batch_size=64,gone=1", ""]
