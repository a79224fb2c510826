"""Labels do not lie on each other, and an inset is drawn where chosen points are in a corner."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from rrrbench.benchmark.figures.axes import LABEL_GAP, End, corner, label_ends, spread


def test_places_move_apart_and_keep_their_order():
    assert spread([0.5, 0.5, 0.9], 0.1) == pytest.approx([0.5, 0.6, 0.9])
    assert spread([1.0, 0.0, 1.0], 0.2) == pytest.approx([0.8, 0.0, 1.0])
    assert spread([0.2, 0.1], 0.05) == [0.2, 0.1]


def test_more_labels_than_there_is_room_for_keep_their_distance():
    moved = spread([0.5] * 5, 0.3)
    assert np.diff(moved) == pytest.approx([0.3] * 4)


def test_labels_of_equal_lines_stand_apart_beside_the_axes():
    axis = Figure().subplots()
    axis.plot([0, 1], [0, 1])
    label_ends(axis, [End(1, 0.5, name, "#000000") for name in ("one", "other")])
    (_, low), (_, high) = (text.xyann for text in axis.texts)
    assert abs(high - low) >= LABEL_GAP - 1e-9
    assert all(text.xyann[0] > 1 for text in axis.texts)


def test_chosen_points_in_a_corner_have_an_inset_that_holds_them():
    x, y = np.array([0, 0.02, 0.01, 1.0]), np.array([0.95, 0.96, 0.94, 0.1])
    box = corner(x, y, [0, 1, 2])
    assert all(box.holds(*point) for point in zip(x[:3].tolist(), y[:3].tolist(), strict=True))
    assert not box.holds(1.0, 0.1)
    assert corner(x, y, [0, 3]) is None
    assert corner(x, y, [0]) is None
