"""The palette: readers with any colour vision tell the colours apart, and a method looks the same in every figure."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from rrrbench.benchmark.figures.palette import BASELINE, COLOURS, INK, MOST_NAMED, ORDER, OTHER, style_of, styles

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
NOTICEABLE = 10
"""A distance in CIELAB; 2.3 is just noticeable side by side."""


def linear(colour):
    shares = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    shares = TO_XYZ @ np.clip(rgb, 0, 1) / np.array([0.9505, 1, 1.089])
    x, y, z = np.where(shares > 0.008856, np.cbrt(shares), 7.787 * shares + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    low, high = sorted(TO_XYZ[1] @ linear(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vision", VISIONS)
def test_readers_with_any_colour_vision_tell_the_colours_apart(vision):
    seen = {colour: lab(np.array(VISIONS[vision]) @ linear(colour)) for colour in (INK, OTHER, *COLOURS)}
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > NOTICEABLE, (one, other)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("ground", ["#ffffff", "#14171a"])
def test_a_colour_stands_out_from_the_ground(colour, ground):
    assert contrast(colour, ground) >= 3


def test_methods_with_a_style_of_their_own_do_not_share_it():
    assert len({style_of(method) for method in (BASELINE, *ORDER)}) == 1 + len(ORDER)


def test_a_method_has_one_style_whatever_else_is_drawn():
    alone = styles(["rrr"], ["rrr"])["rrr"]
    among = styles(["erm", "l2", "rrr"], ["mine", "l2", "rrr", "erm"])
    assert (among["rrr"], among["mine"].colour) == (alone, OTHER)


def test_at_most_six_methods_are_named_and_the_grey_ones_lie_below():
    drawn = [f"method {i}" for i in range(9)]
    found = styles(drawn, drawn)
    named = [method for method, style in found.items() if style.colour != OTHER]
    assert named == list(reversed(drawn[:MOST_NAMED]))
    assert list(found)[:3] == drawn[MOST_NAMED:]
