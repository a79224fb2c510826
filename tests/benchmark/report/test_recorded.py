"""Files of records: those of version 0.1 are upgraded, and a file without a record's columns is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rrrbench.benchmark.report import recorded as module
from rrrbench.benchmark.report.recorded import BESIDE, recorded, write_recorded
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
        assert "epochs" in told


def test_a_training_is_told_against_the_defaults_of_today(tmp_path):
    old = pd.read_parquet(RECORDS / "ghitu2025-as-meant.parquet").head(2)  # of protocol 1.0
    settings = [{"epochs": 50, "batch_size": 64, "gone": 1}, {"epochs": 50, "batch_size": 256}]
    old["configuration"] = [json.dumps({"training": own}) for own in settings]
    old.to_parquet(tmp_path / "old.parquet")
    assert list(recorded(str(tmp_path / "old.parquet")).runs["training"]) == ["batch_size=64,gone=1", ""]


def test_pictures_are_kept_beside_a_file_of_records(tmp_path, monkeypatch):
    whole = recorded(shutil.copy(RECORDS / "ghitu2025-as-meant.parquet", tmp_path / "alone.parquet").as_posix())
    assert whole.pictures is None
    key = whole.runs["sweep_key"].iat[0]
    for folder in (key, "of another sweep"):
        (tmp_path / "pictures" / folder).mkdir(parents=True)
        (tmp_path / "pictures" / folder / "rrr.png").write_bytes(b"png")
        (tmp_path / "pictures" / folder / "erm-0.pt").write_bytes(b"for a session that goes on")
    kept = replace(whole, pictures=tmp_path / "pictures")
    monkeypatch.setattr(module, "recorded", lambda suite: kept)
    write_recorded("own", tmp_path / "own.parquet")
    found = recorded(str(tmp_path / "own.parquet"))
    assert found.pictures == tmp_path / "own.pictures"
    files = [path for path in found.pictures.rglob("*") if path.is_file()]
    assert files == [found.pictures / key / "rrr.png"]
    pd.testing.assert_frame_equal(found.runs, whole.runs)
