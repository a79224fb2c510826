"""The worked values of Ross's, the typology's and R4's units."""

from __future__ import annotations

import pytest
from rrrbench.methods.units import from_published


def test_ross_1000_on_0_to_255():
    assert from_published(1000, pixel_range=(0, 255)) == pytest.approx(1000 / 65025)  # 0.01538


def test_1000_on_minus_1_to_1():
    # x'' = 2x/255 - 1: 1000 on 0..255 is 1000 / 16256.25 = 0.0615 there, and a factor 4 more on [0, 1]
    on_0_255 = from_published(1000, pixel_range=(0, 255))
    assert from_published(1000 / 16256.25, pixel_range=(-1, 1)) == pytest.approx(on_0_255)


def test_the_typologys_10_at_batch_256_is_rosss_2560():
    typology = from_published(10, right_answer="mean", batch_size=256, pixel_range=(0, 255))
    assert typology == pytest.approx(from_published(2560, pixel_range=(0, 255)))


def test_r4s_10_averaged_over_784_entries():
    assert from_published(10, right_reason="mean", right_answer="mean", entries=784) == pytest.approx(10 / 784)


def test_a_mean_penalty_beside_a_sum_is_divided_by_the_batch():
    assert from_published(10, right_reason="mean", batch_size=5) == pytest.approx(2)


@pytest.mark.parametrize("wrong", [{"pixel_range": (1, 1)}, {"batch_size": 0}, {"entries": 0}])
def test_units_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be at least 1|is empty"):
        from_published(1, **wrong)
