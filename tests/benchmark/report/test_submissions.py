"""Submissions stand on the leaderboard, beside the suite that they are measured like."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from rrrbench.benchmark.ranking.sweeps import SweepName
from rrrbench.benchmark.report.index import submitted_board_rows
from rrrbench.benchmark.report.ranked_sweep import RankedSweep
from rrrbench.benchmark.report.submissions import LIKE, submitted_rows
from rrrbench.datasets.own_code import Refused

RESULT = {
    "dataset": "decoy-digits", "network": "mlp", "training": "", "protocol": "2.0", "sweep_key": "k", "masks": "true",
    "mitigation": "own", "needs": "masks", "rule": "knee", "strength": 0.1, "seeds": 5, "note": "",
    "accuracy/random": 0.9, "accuracy/random:low": 0.88, "accuracy/random:high": 0.92,
}  # fmt: skip


def submit(results, name="own", **changes):
    folder = results / "submissions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text("")
    (folder / f"{name}.json").write_text(json.dumps({"results": [{**RESULT, **changes}]}))
    return folder / name


def test_a_submission_is_a_row_of_the_leaderboard_under_the_suite_that_it_is_measured_like(tmp_path):
    submit(tmp_path)
    sweep = RankedSweep(LIKE, SweepName("decoy-digits", "mlp", "x"), "slug", pd.DataFrame({"sweep_key": ["k"]}), {}, {})
    (row,) = submitted_board_rows(tmp_path, [sweep])
    assert (row["suite"], row["mitigation"], row["rule"]) == (LIKE, "own", "knee")
    assert (row["dataset"], row["network"], row["difference"], row["sweep"]) == (*sweep.name, sweep.page)
    assert (row["needs"], row["note"], row["page"]) == ("masks", "submitted", "")
    assert row["cells"][0][0].startswith("0.900 [0.880, 0.920]")


def test_without_that_suite_it_has_a_name_of_its_own(tmp_path):
    submit(tmp_path)
    (row,) = submitted_board_rows(tmp_path, [])
    assert (row["suite"], row["dataset"], row["sweep"]) == ("submissions", "decoy-digits", "")


def test_a_row_without_its_file_is_nobodys(tmp_path):
    path = submit(tmp_path)
    path.with_suffix(".py").unlink()
    assert submitted_rows(tmp_path).empty
    assert submitted_board_rows(tmp_path, []) == []


@pytest.mark.parametrize("name", [".json", ".own.json", "own.JSON", "own.Json", ".json.json", "own.PY", ".py"])
def test_a_name_that_no_submission_has_is_refused(tmp_path, name):
    path = submit(tmp_path)
    (path.parent / name).write_text(path.with_suffix(".json").read_text())
    with pytest.raises(Refused, match=r"is no name of a submission: call it NAME\.py, and its row NAME\.json"):
        submitted_rows(tmp_path)


@pytest.mark.parametrize("name", ["own.json", "own.py", "submissions"])
@pytest.mark.parametrize("to", ["there", "nowhere"])
def test_links_are_refused(tmp_path, name, to):
    folder = submit(tmp_path).parent
    path = folder if name == "submissions" else folder / name
    moved = path.rename(tmp_path / "moved")
    path.symlink_to(moved if to == "there" else tmp_path / "nowhere")
    with pytest.raises(Refused, match=r"is a link|is no plain file"):
        submitted_rows(tmp_path)


def test_a_folder_called_as_a_row_is_refused(tmp_path):
    (submit(tmp_path).parent / "more.json").mkdir()
    with pytest.raises(Refused, match="is no plain file"):
        submitted_rows(tmp_path)


def test_files_beside_that_are_called_otherwise_are_left_alone(tmp_path):
    folder = submit(tmp_path).parent
    for name in ("README.md", "own.json~", "own.json.bak", ".gitkeep", "json"):
        (folder / name).write_text("{")
    (folder / "drafts").mkdir()
    assert len(submitted_rows(tmp_path)) == 1
