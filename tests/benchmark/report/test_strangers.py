"""A stranger's file decides neither what is read nor where is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_rows import made_up_recording
from pydantic import ValidationError
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.report.recorded import recorded
from rrrbench.benchmark.report.site import write_site
from rrrbench.benchmark.report.twins import Untrusted, twins
from rrrbench.benchmark.store.record import Record
from rrrbench.datasets import sources
from rrrbench.datasets.recipe import datasets
from tiny import tiny_suite
from typer.testing import CliRunner

FLIPS = [(3, 1, 2)]


def configured(**dataset) -> dict:
    return {"versions": {"dataset": 1}, "seed": 0, "dataset": dataset}


@pytest.fixture
def untouched(monkeypatch, tmp_path):
    """Nothing is read, downloaded or made up, and there is no MNIST."""
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "no data"))
    for name in ("_download", "_npz", "_find", "read_idx"):
        monkeypatch.setattr(sources, name, lambda *_, name=name: pytest.fail(f"{name} was called"))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("a file was read"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        ({"name": "decoy", "base": "npz:/etc/passwd"}, "no suite of rrrbench has"),
        ({"name": "decoy", "base": "npz:../own.npz"}, "no suite of rrrbench has"),
        ({"name": "colored-patch", "base": "npz://host/share/x.npz"}, "no suite of rrrbench has"),
        ({"name": "decoy", "base": "mnist"}, "does not start a download"),
        ({"name": "decoy", "base": "fashion-mnist"}, "no suite of rrrbench has|does not start a download"),
        ({"name": "colored-patch", "base": "cifar10"}, "does not start a download|no suite of rrrbench has"),
        ({"name": "toy-colors", "train_inputs": 10**13}, "no suite of rrrbench has"),
        ({"name": "toy-colors", "test_inputs": 10**13}, "no suite of rrrbench has"),
        ({"name": "decoy", "base": "digits", "correlation": 0.123}, "no suite of rrrbench has"),
        ({"name": "colored-patch", "base": "digits", "colors": 10**12}, "no suite of rrrbench has"),
    ],
)
def test_a_file_of_records_does_not_decide_what_is_read(dataset, reason):
    with pytest.raises(Untrusted, match=reason):
        twins(configured(**dataset), FLIPS, "0" * 64, foreign=True)


def test_what_the_own_suites_draw_is_drawn_for_a_stranger_too():
    wrong, true = ({"name": "decoy", "base": "digits", "masks": masks} for masks in ("wrong", "true"))
    (twin,) = twins(configured(**wrong), FLIPS, datasets.resolve(wrong).make(0).digest(), foreign=True)
    assert twin == twins(configured(**true), FLIPS, datasets.resolve(true).make(0).digest())[0]


@pytest.mark.usefixtures("untouched")
@pytest.mark.slow
def test_pages_of_a_strangers_file_say_why_a_twin_is_not_shown(tmp_path):
    rows = made_up_recording(tiny_suite()).runs.head(1)
    configuration = json.loads(rows["configuration"].iat[0])
    configuration["dataset"] = {"name": "decoy", "base": "npz:/etc/passwd"}
    rows = rows.drop(columns="degenerate").assign(flips="[[3, 1, 2]]", configuration=json.dumps(configuration))
    rows.to_parquet(tmp_path / "theirs.parquet")
    write_site([recorded(str(tmp_path / "theirs.parquet"))], tmp_path / "site", tmp_path / "no results")
    (page,) = (tmp_path / "site/runs").iterdir()
    assert "None to show: no suite of rrrbench has decoy-npz:passwd" in page.read_text()


@pytest.mark.parametrize("configuration", ["{}", '{"dataset": {}}', '{"dataset": {"name": ["x"]}, "versions": 3}',
                                           '{"training": {"a": [null]}, "network": {}, "seed": 0}'])  # fmt: skip
@pytest.mark.slow
def test_a_configuration_that_is_not_whole_makes_a_page_that_says_so(tmp_path, configuration):
    rows = made_up_recording(tiny_suite()).runs.head(1).drop(columns="degenerate")
    rows.assign(flips="[[3, 1, 2]]", configuration=configuration).to_parquet(tmp_path / "theirs.parquet")
    result = CliRunner().invoke(app, ["report", str(tmp_path / "theirs.parquet"), "--out", str(tmp_path / "site")])
    assert result.exit_code == 0, result.output
    (page,) = (tmp_path / "site/runs").iterdir()
    assert "Its configuration does not say how." in page.read_text()
    assert "None to show" in page.read_text()


@pytest.mark.parametrize("column", ["run_key", "sweep_key"])
@pytest.mark.parametrize("key", ["../../evil000", "../../../../x", "/tmp/evil", "evil\0", "x/" * 32])
def test_nothing_is_written_for_a_key_that_is_a_path(tmp_path, column, key):
    folder = tmp_path / "a/b"
    folder.mkdir(parents=True)
    rows = made_up_recording(tiny_suite()).runs.drop(columns="degenerate")
    rows.assign(**{column: [f"{key}{i}" for i in range(len(rows))]}).to_parquet(folder / "s.parquet")
    result = CliRunner().invoke(app, ["report", str(folder / "s.parquet"), "--out", str(folder / "site")])
    assert result.exit_code == 2
    assert f"s.parquet: column '{column}', row 0 is" in result.output.replace("\n", "")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [folder / "s.parquet"]


@pytest.mark.parametrize("field", ["run_key", "sweep_key", "dataset_key"])
@pytest.mark.parametrize("key", ["../../x", "", "0" * 63, "/" * 64, "0" * 64 + "\n", "F" * 64])
def test_a_record_whose_key_is_a_path_is_none(field, key):
    stack = tiny_suite().stacks()[0]
    content = Record.for_run(stack, 0.0, 0, "finished").model_dump()
    with pytest.raises(ValidationError, match=field):
        Record.model_validate({**content, field: key})


def test_two_files_of_one_name_do_not_overwrite_each_others_pages(tmp_path):
    one = made_up_recording(tiny_suite())
    with pytest.raises(ValueError, match="two of these suites or files are called 'tiny'"):
        write_site([one, replace(one, runs=one.runs.copy())], tmp_path / "site", tmp_path)
    assert not (tmp_path / "site").exists()


def test_committed_files_of_records_are_good():
    files = sorted((Path(__file__).parents[3] / "results/records").glob("*.parquet"))
    assert [recorded(str(file)).runs.shape[0] for file in files] == [len(pd.read_parquet(file)) for file in files]


HOSTILE = (
    *("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "$\\frac{$", "$x$", "{{ 7*7 }}", "{% raw %}"),
    *("</script><script>alert(1)//", "javascript:alert(1)", "=HYPERLINK(1)", "a%b\\c&d", "_hidden", "' onclick='x"),
)


@pytest.mark.long
@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (i > 1)) for i, one in enumerate(HOSTILE)]
)
def test_pages_of_hostile_names_are_inert(tmp_path, name):
    rows = made_up_recording(tiny_suite()).runs.drop(columns="degenerate")
    told = {
        "mitigation": rows["mitigation"].replace({"rrr": name}),
        **dict.fromkeys(("dataset", "error", "versions"), name),
    }
    told["configuration"] = [
        json.dumps(json.loads(text) | {"mitigation": {"name": called.partition("[")[0]}})
        for text, called in zip(rows["configuration"], told["mitigation"], strict=True)
    ]
    rows.assign(network=name, training=name, needs=name, **told).to_parquet(tmp_path / "s.parquet")
    write_site([recorded(str(tmp_path / "s.parquet"))], tmp_path / "site", tmp_path / "no results")
    raw = name if set(name) & set('<"') else None
    for page in (tmp_path / "site").rglob("*.html"):
        text = page.read_text()
        assert raw is None or raw not in text, page
        assert 'href="javascript' not in text
    for tex in (tmp_path / "site/figures").glob("*.tex"):
        assert "\n\\input" not in tex.read_text()
    for svg in (tmp_path / "site/figures").glob("*.svg"):
        assert "<script" not in svg.read_text()
