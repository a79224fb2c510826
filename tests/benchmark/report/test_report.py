"""What the pages say: which rows lead, what the control pictures show, and the suite that repeats a run."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from rrrbench.benchmark import suites
from rrrbench.benchmark.ranking.statistics import interval
from rrrbench.benchmark.report import interactive
from rrrbench.benchmark.report.points import annotated_inputs, chosen, leading, over_strengths, trade_offs
from rrrbench.benchmark.report.recorded import Recorded, recorded
from rrrbench.benchmark.report.site import suite_file, write_site
from rrrbench.benchmark.suite.loading import load_suite, parse_suite

RECORDS = Path(__file__).parents[3] / "results/records/mitigations-quick.parquet"


def board(*rows):
    columns = ["mitigation", "masks", "accuracy/random", "accuracy/random:low", "accuracy/random:high"]
    return pd.DataFrame(rows, columns=columns).assign(strength=1.0)


@pytest.mark.parametrize("name", [name for name in suites.names() if load_suite(name).sweeps])
def test_the_suite_of_one_run_has_its_key(name):
    suite = load_suite(name)
    for stack in suite.stacks()[::7]:
        strength, seed = stack.strengths[-1], stack.seeds[0]
        text = suite_file(stack.configuration(strength, seed), stack.mitigation.has_strength)
        again = parse_suite({"name": "again", **tomllib.loads(text)}, "again")
        assert again.keys() == [stack.key(strength, seed)]


def test_a_suite_without_the_metrics_that_pages_draw_is_refused(tmp_path):
    explained = Recorded("own", "", pd.DataFrame({"mitigation": ["dummy"], "success": [0.5]}))
    with pytest.raises(ValueError, match=r"suite 'own' has no pages: .* `rrrbench leaderboard own`"):
        write_site([explained], tmp_path / "site", tmp_path)
    assert not (tmp_path / "site").exists()


def test_a_run_of_two_suites_has_one_page_which_the_first_of_them_writes(tmp_path):
    whole = recorded(str(RECORDS), "")
    erm = whole.runs[whole.runs["mitigation"] == "erm"]
    write_site([replace(whole, name=name, runs=erm) for name in ("one", "other")], tmp_path, tmp_path / "no results")
    pages = [page.read_text() for page in (tmp_path / "runs").iterdir()]
    assert len(pages) == erm["run_key"].nunique()
    assert all("settings/one-" in page and "settings/other-" not in page for page in pages)


def test_recalled_numbers_are_grey_on_the_page_of_tables(tmp_path):
    (tmp_path / "results/reproduced").mkdir(parents=True)
    (tmp_path / "results/reproduced/own.csv").write_text("method,provenance\nRRR,read\nHINT,recalled\n")
    whole = recorded(str(RECORDS), "")
    few = replace(whole, runs=whole.runs[whole.runs["mitigation"] == "erm"])
    write_site([few], tmp_path / "site", tmp_path / "results")
    page = (tmp_path / "site/tables.html").read_text()
    assert '<tr class="absent"><td>HINT</td><td>recalled</td></tr>' in page
    assert "<tr><td>RRR</td><td>read</td></tr>" in page


def test_the_best_group_is_those_whose_intervals_reach_the_best():
    rows = [("a", "true", 0.9, 0.88, 0.92), ("b", "true", 0.87, 0.85, 0.89), ("c", "true", 0.8, 0.7, 0.87)]
    assert leading(board(*rows)).tolist() == [True, True, False]


def test_no_group_is_best_where_intervals_separate_none_and_controls_never_are():
    rows = [("a", "true", 0.9, 0.8, 0.95), ("b", "true", 0.87, 0.8, 0.92), ("c", "wrong", 0.99, 0.98, 1.0)]
    assert leading(board(*rows)).tolist() == [False, False, False]
    assert not leading(board(*rows).drop(columns="accuracy/random")).any()


def test_masks_in_words_as_numbers_of_inputs():
    named = ["true", "on 25 inputs", "wrong", "half, on 25 inputs"]
    assert [annotated_inputs(masks) for masks in named] == [float("inf"), 25, None, None]


def test_the_picture_of_mask_fractions_leaves_out_other_masks():
    rows = [
        ("rrr", "true", 0.9, 0.8, 1.0),
        ("rrr", "on 100 inputs", 0.8, 0.7, 0.9),
        ("rrr", "on 25 inputs", 0.6, 0.5, 0.7),
        ("rrr", "wrong", 0.5, 0.4, 0.6),
        ("r4", "true", 0.9, 0.8, 1.0),
    ]
    (trace,) = interactive.mask_fraction(board(*rows), lambda *_: "")["data"]
    assert (trace["x"], trace["y"]) == (["25", "100", "all"], [0.6, 0.8, 0.9])
    assert trace["error_y"]["array"] == pytest.approx([0.1, 0.1, 0.1])
    corrupted = interactive.mask_corruption(board(*rows), lambda *_: "")
    assert corrupted["layout"]["xaxis"]["categoryarray"] == ["true", "wrong"]
    assert interactive.mask_fraction(board(rows[0]), lambda *_: "") is None
    assert interactive.mask_corruption(board(rows[0]), lambda *_: "") is None


def test_a_trade_off_has_a_point_a_strength_with_the_leaderboards_numbers():
    runs = pd.DataFrame(
        {
            "mitigation": "rrr",
            "masks": "true",
            "status": "finished",
            "strength": [1.0, 1.0, 10.0, 10.0],
            "seed": [0, 1, 0, 1],
            "accuracy/random": [0.8, 0.9, 0.7, 0.7],
            "flip_rate": [0.2, 0.1, 0.0, 0.0],
        }
    )
    ((name, line),) = trade_offs(runs)
    assert (name, line.index.tolist()) == ("rrr", [1.0, 10.0])
    mean, low, high = interval(runs["accuracy/random"].to_numpy()[:2])
    assert line.loc[1.0, ["accuracy", "accuracy:low", "accuracy:high"]].tolist() == pytest.approx([mean, low, high])
    assert all(a > b for a, b in pairwise(line["reliance"]))
    assert over_strengths(runs, "flip_rate")["mean"].tolist() == pytest.approx([0.15, 0.0])
    assert chosen(board(("rrr", "true", 0.8, 0.7, 0.9)), "rrr") == 1.0
    assert chosen(board(("rrr", "wrong", 0.8, 0.7, 0.9)), "rrr") is None


def test_a_file_without_a_records_columns_is_refused(tmp_path):
    pd.DataFrame({"seed": [0]}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match=r"mine\.parquet has no column 'dataset': write it with `rrrbench records"):
        recorded(str(tmp_path / "mine.parquet"), "")


def test_pictures_are_json_without_nan():
    picture = interactive.curves({"right_answer": [2.0, 1.0], "accuracy/validation": [0.5, 0.75]})
    assert [trace["y"] for trace in picture["data"]] == [[2.0, 1.0], [0.5, 0.75]]
    assert json.loads(json.dumps(picture, allow_nan=False)) == picture
