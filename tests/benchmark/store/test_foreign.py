"""Strangers' rows: a cell that no record has is refused with file, column, row and value."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from made_up_rows import made_up_recording
from rrrbench.benchmark.report.recorded import recorded
from rrrbench.benchmark.store.foreign import BadRecords, check_rows, read_foreign
from tiny import tiny_suite

KEY = "0" * 64


@pytest.fixture(scope="module")
def good() -> pd.DataFrame:
    """Six rows as `rrrbench records --format parquet` writes them."""
    return made_up_recording(tiny_suite()).runs.drop(columns="degenerate").reset_index(drop=True)


def spoilt(rows: pd.DataFrame, column: str, value: object, row: int = 3) -> pd.DataFrame:
    cells = list(rows[column]) if column in rows else [0.0] * len(rows)
    cells[row] = value
    return rows.assign(**{column: cells})


BAD = [
    *((column, value) for column in ("run_key", "sweep_key") for value in (
        "../../evil000", "", "x" * 64, "0" * 63, "0" * 65, "A" * 64, "0" * 63 + "\n", "0" * 64 + "\n", "/" + "0" * 63,
        "\u0660" * 64, None, 7)),
    *((column, value) for column in ("accuracy/random", "flip_rate", "accuracy/validation") for value in (
        42.0, -0.1, 1.01, np.inf, -np.inf)),
    *(("seconds", value) for value in (-1.0, -np.inf)),
    *(("aligned_conflict_gap", value) for value in (1.5, -2.0)),
    *(("strength", value) for value in (-1.0, np.nan, np.inf, "0.1", True)),
    *(("seed", value) for value in (-1, 0.5, "0", True, None)),
    *(("flip_rate", value) for value in ("0.5", "=1+1", True, [0.5], {"a": 1})),
    *(("status", value) for value in ("finishd", "", "FINISHED", None)),
    *(("protocol", value) for value in ("0.9", "9.9", "2", "", "2.0\n", None, 2.0)),
    *((column, value) for column in ("dataset", "network", "mitigation", "masks") for value in (
        "", "d\n\\input{/etc/passwd}", "x" * 501, "a\0b", "a\x1b[31mb", " a", None, 3, ["a"], "a\u2028b")),
    *(("git_commit", value) for value in ("; rm -rf ~", "HEAD", "$(id)", "--help", "0" * 39)),
    *(("dataset_digest", value) for value in ("../x", "0" * 63)),
    *(("dirty", value) for value in ("yes", None)),
    *(("flips", value) for value in ("[", "{}", "[[1,2]]", "[[-1,0,1]]", "[[0.5,0,1]]", "[" * 50_000, '[["a",0,1]]')),
    *(("curves", value) for value in ("[", "[]", '{"a": 1}', '{"a": ["b"]}', '{"": []}', '{"a": [true]}', None)),
    *(("configuration", value) for value in (
        "", "[]", "null", "1", "{", "[" * 50_000, '{"a":' * 5_000, '{"dataset": 3}', '{"training": []}',
        '{"protocol": "1.0"}', '{"seed": 99}', '{"seed": true}', '{"x": "' + "y" * 200_000 + '"}', "9" * 5_000)),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), BAD, ids=lambda value: repr(value)[:30])
def test_a_cell_that_no_record_has_is_refused_with_its_place(good, column, value):
    with pytest.raises(BadRecords, match=f"^own.parquet: column '{column}', row 3 ") as raised:
        check_rows(spoilt(good, column, value), "own.parquet")
    assert "expected" in str(raised.value)
    assert len(str(raised.value)) < 600


def test_an_unbiased_estimate_of_a_penalty_may_be_below_0(good):
    """`irm` and `eiil` multiply the gradients of two halves of a batch."""
    check_rows(good.assign(right_reason=-1e-4), "here")


def test_good_rows_pass(good):
    check_rows(good, "own.parquet")
    check_rows(spoilt(good, "flip_rate", np.nan), "own.parquet")
    check_rows(spoilt(good, "my_own_number", -1e9), "own.parquet")  # of a mitigation's own report
    check_rows(spoilt(good, "accuracy/random", 1 + 1e-7), "own.parquet")  # rounded


@pytest.mark.parametrize("column", ["run_key", "sweep_key", "configuration", "flips", "status", "protocol", "masks"])
def test_a_column_that_is_not_there_is_named(good, column):
    with pytest.raises(BadRecords, match=f"has no column '{column}'"):
        check_rows(good.drop(columns=column), "own.parquet")


def test_rows_that_contradict_each_other_are_refused(good):
    with pytest.raises(BadRecords, match=r"column 'run_key', row 3 is '\w+', the key of row 0"):
        check_rows(spoilt(good, "run_key", good["run_key"].iat[0]), "own.parquet")
    for column, value in (("dataset", "other"), ("network", "other"), ("training", "epochs=3")):
        with pytest.raises(BadRecords, match=f"column '{column}', row 3 .* runs of one sweep to agree"):
            check_rows(spoilt(good, column, value), "own.parquet")
    with pytest.raises(BadRecords, match="has no rows"):
        check_rows(good.head(0), "own.parquet")


def test_a_row_says_what_its_configuration_says(good):
    for column, value in (("strength", 7.5), ("mitigation", "r4"), ("seed", 9)):
        with pytest.raises(BadRecords, match=f"'configuration', row 3 has {column} .*, and column '{column}'"):
            check_rows(spoilt(good, column, value), "own.parquet")


def test_a_run_has_one_row(good):
    again = pd.concat([good, good.iloc[[2]].assign(run_key="f" * 64)], ignore_index=True)
    with pytest.raises(BadRecords, match=rf"row {len(good)} is the run of row 2 .*: expected a row a run"):
        check_rows(again, "own.parquet")


@pytest.mark.parametrize("name", ["a\nb", "", " x", "x" * 501, "a\0b"])
def test_a_column_of_no_name_is_refused(good, name):
    with pytest.raises(BadRecords, match="no name of a column"):
        check_rows(good.assign(**{name: 0.5}), "own.parquet")


@pytest.mark.parametrize("content", [b"", b"garbage", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"a,b\n1,2\n"])
def test_a_file_that_is_no_parquet_is_refused_by_name(tmp_path, content):
    (tmp_path / "own.parquet").write_bytes(content)
    with pytest.raises(BadRecords, match=r"own\.parquet does not read as parquet"):
        recorded(str(tmp_path / "own.parquet"))


def test_a_file_of_more_rows_than_any_is_not_inflated(tmp_path, monkeypatch):
    pd.DataFrame({"a": np.zeros(2_000_000, dtype=np.int8)}).to_parquet(tmp_path / "own.parquet")
    monkeypatch.setattr(pd, "read_parquet", lambda *_: pytest.fail("inflated"))
    with pytest.raises(BadRecords, match="has 2,000,000 rows"):
        read_foreign(tmp_path / "own.parquet")


def test_a_good_file_reads_and_is_foreign(good, tmp_path):
    good.to_parquet(tmp_path / "own.parquet")
    read = recorded(str(tmp_path / "own.parquet"))
    assert read.foreign
    assert list(read.runs["run_key"]) == list(good["run_key"])


@pytest.mark.parametrize("stem", ["..", "a\nb", "x" * 120])
def test_a_file_whose_name_names_no_pages_is_refused(good, tmp_path, stem):
    good.to_parquet(tmp_path / f"{stem}.parquet")
    with pytest.raises(ValueError, match="cannot name files"):
        recorded(str(tmp_path / f"{stem}.parquet"))


@pytest.mark.parametrize("configuration", ["[]", "3", "null", '{"training": 3}', "{"])
def test_a_bad_configuration_of_version_0_1_is_refused_too(good, tmp_path, configuration):
    old = spoilt(good, "configuration", configuration).rename(columns={"protocol": "protocol_version"})
    old.drop(columns="training").to_parquet(tmp_path / "old.parquet")
    with pytest.raises(BadRecords, match="column 'configuration', row 3"):
        recorded(str(tmp_path / "old.parquet"))


@pytest.mark.parametrize("double", ["protocol", "training"])
def test_columns_of_version_0_1_and_of_today_together_are_refused(good, tmp_path, double):
    """A renamed column would stand beside its namesake, or be written over."""
    old = good.rename(columns={"protocol": "protocol_version"}).drop(columns="training").assign(**{double: "1.0"})
    old.to_parquet(tmp_path / "old.parquet")
    with pytest.raises(BadRecords, match=f"'configuration' of version 0.1 and '{double}' of today"):
        recorded(str(tmp_path / "old.parquet"))


def test_a_configuration_may_say_more_than_is_known(good):
    more = {**json.loads(good["configuration"].iat[3]), "later": [1]}
    check_rows(spoilt(good, "configuration", json.dumps(more)), "own.parquet")
