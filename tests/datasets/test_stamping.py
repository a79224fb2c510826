"""Places, stamps and halves, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from rrrbench.datasets.base import generator
from rrrbench.datasets.registry import BadParameters
from rrrbench.datasets.stamping import blended, places, squeezed, stamped

BLACK = np.zeros((3, 1, 4, 4), dtype=np.uint8)


def test_a_square_is_where_its_input_has_it():
    colors, values = np.array([[7], [8], [9]], dtype=np.uint8), np.array([0, -1, 2])
    square = np.ones((3, 2, 2), dtype=bool)
    images, masks = stamped(BLACK, square, colors, values, np.array([0, 1, 2]), np.array([2, 1, 0]))
    assert (images[0, 0, :2, 2:] == 7).all()
    assert (images[2, 0, 2:, :2] == 9).all()
    assert [int(mask.sum()) for mask in masks] == [4, 0, 4]
    np.testing.assert_array_equal(images > 0, masks)
    assert not BLACK.any()


def test_a_stamp_has_ink_where_its_value_has_and_its_mask_where_any_value_has():
    stamps = np.array([[[1, 1, 0]], [[0, 1, 0]]], dtype=bool)
    colors = np.array([[50], [60]], dtype=np.uint8)
    zeros = np.zeros(3, dtype=np.int64)
    images, masks = stamped(BLACK, stamps, colors, np.array([0, 1, -1]), zeros, zeros)
    assert images[:, 0, 0].tolist() == [[50, 50, 0, 0], [0, 60, 0, 0], [0, 0, 0, 0]]
    assert masks[:, 0, 0].tolist() == [[True, True, False, False]] * 2 + [[False] * 4]


def test_a_colour_is_blended_by_its_share_and_is_never_lost():
    below, color = np.array([[100]], dtype=np.uint8), np.array([[200]], dtype=np.uint8)
    assert [blended(below, color, share)[0, 0] for share in (1.0, 0.2, 1e-9)] == [200, 120, 100]


def test_corners_and_places_are_all_reached():
    images = np.zeros((400, 1, 6, 6), dtype=np.uint8)
    for place, expected in (("fixed", {0}), ("corners", {0, 4}), ("anywhere", {0, 1, 2, 3, 4})):
        rows, columns = places(place, images, (2, 2), generator(0, place), "patch")
        assert set(rows) == set(columns) == expected
        assert len(set(zip(rows, columns, strict=True))) == len(expected) ** 2


def test_a_stamp_as_long_as_the_image_has_two_sides():
    rows, columns = places("corners", BLACK, (4, 1), generator(0, "side"), "stripes")
    assert set(rows) == {0}
    assert set(columns) <= {0, 3}
    with pytest.raises(BadParameters, match="patch: 3x3 pixels do not fit into corners of 4x4: lower its size"):
        places("corners", BLACK, (3, 3), generator(0, "corner"), "patch")


def test_a_squeezed_image_has_the_mean_of_two_rows_beside_black():
    images = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4) + np.zeros((40, 1, 1, 1), dtype=np.uint8)
    halves, other = squeezed(images, generator(0, "half"), "half")
    for image, black in zip(halves[:, 0], other[:, 0], strict=True):
        assert not image[black].any()
        assert image[~black].tolist() == [2, 3, 4, 5, 10, 11, 12, 13]
    assert {bool(black[0, 0, 0]) for black in other} == {True, False}
