"""The figure of accuracy against reliance: names, intervals, the inset."""

from __future__ import annotations

import numpy as np
from rrrbench.benchmark.figures.lines import Line, inset_box, trade_off
from rrrbench.benchmark.figures.palette import OTHER, Style, style_of


def line(name, x, y, chosen=0):
    return Line(name, style_of(name), np.array(x), np.array(y), chosen, (x[chosen], x[chosen], y[chosen], y[chosen]))


CORNERED = [
    line("erm", [1.0], [0.1]),
    line("rrr", [0.01, 0.5], [0.95, 0.5]),
    line("r4", [0.02, 0.6], [0.94, 0.4]),
]


def test_chosen_points_in_a_corner_are_shown_in_an_inset_with_their_names():
    whole, inset = trade_off(CORNERED, "title", "accuracy").axes
    assert {text.get_text() for text in inset.texts} == {"rrr", "r4"}
    assert [text.get_text() for text in whole.texts] == ["erm"]
    assert inset.get_xlim()[1] < 0.1 < whole.get_xlim()[1]


def test_without_a_corner_there_is_one_pair_of_axes():
    apart = [line("rrr", [0.0], [0.9]), line("r4", [1.0], [0.1])]
    (axis,) = trade_off(apart, "title", "accuracy").axes
    assert {text.get_text() for text in axis.texts} == {"rrr", "r4"}
    assert inset_box(apart) is None


def test_grey_lines_are_counted_and_have_no_name():
    grey = Line("l2", Style(OTHER, "circle"), np.array([0.5]), np.array([0.5]), 0)
    *_, inset = trade_off([grey, *CORNERED], "title", "accuracy").axes
    assert "grey: 1 others" in {text.get_text() for text in inset.texts}
    assert "l2" not in {text.get_text() for text in inset.texts}


def test_a_figure_of_no_lines_is_drawn():
    assert len(trade_off([], "title", "accuracy").axes) == 1
