"""Pictures for Plotly: what the controls show, and JSON without NaN."""

from __future__ import annotations

import json

import pytest
from boards import a_board
from rrrbench.benchmark.report import interactive


def test_the_picture_of_mask_fractions_leaves_out_other_masks():
    rows = [
        ("rrr", "true", 0.9, 0.8, 1.0),
        ("rrr", "on 100 inputs", 0.8, 0.7, 0.9),
        ("rrr", "on 25 inputs", 0.6, 0.5, 0.7),
        ("rrr", "wrong", 0.5, 0.4, 0.6),
        ("r4", "true", 0.9, 0.8, 1.0),
    ]
    (trace,) = interactive.mask_fraction(a_board(*rows), lambda *_: "")["data"]
    assert (trace["x"], trace["y"]) == (["25", "100", "all"], [0.6, 0.8, 0.9])
    assert trace["error_y"]["array"] == pytest.approx([0.1, 0.1, 0.1])
    corrupted = interactive.mask_corruption(a_board(*rows), lambda *_: "")
    assert corrupted["layout"]["xaxis"]["categoryarray"] == ["true", "wrong"]
    assert interactive.mask_fraction(a_board(rows[0]), lambda *_: "") is None
    assert interactive.mask_corruption(a_board(rows[0]), lambda *_: "") is None


def test_pictures_are_json_without_nan():
    picture = interactive.curves({"right_answer": [2.0, 1.0], "accuracy/validation": [0.5, 0.75]})
    assert [trace["y"] for trace in picture["data"]] == [[2.0, 1.0], [0.5, 0.75]]
    assert json.loads(json.dumps(picture, allow_nan=False)) == picture


def test_a_curve_that_diverged_has_gaps():
    picture = interactive.curves({"loss": [1.0, float("nan"), float("inf")]})
    assert picture["data"][0]["y"] == [1.0, None, None]
