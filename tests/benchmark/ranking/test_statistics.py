from itertools import product

import numpy as np
import pandas as pd
import pytest
from rrrbench.benchmark.ranking.statistics import interval, paired_difference, with_interval


def enumerated(values, confidence):
    """Smallest resampled means that at least a tail's share, and all but a tail's, of all n**n do not exceed."""
    means = sorted(np.mean(resample) for resample in product(values, repeat=len(values)))
    tail = (1 - confidence) / 2
    return tuple(means[int(np.ceil(len(means) * share)) - 1] for share in (tail, 1 - tail))


@pytest.mark.parametrize("confidence", [0.95, 0.8, 0.5])
@pytest.mark.parametrize("values", [[1.0, 2.0, 6.0], [0.1, 0.7, 0.2, 0.25], [0.91, 0.93, 0.88, 0.95, 0.90]])
def test_the_interval_is_that_of_all_resamples_enumerated(values, confidence):
    mean, low, high = interval(np.array(values), confidence)
    assert (low, high) == pytest.approx(enumerated(values, confidence))
    assert mean == pytest.approx(np.mean(values))


def test_three_seeds_by_hand():
    # The 27 sums, and how often: 0 1x, 3 3x, 6 3x, 9 4x, 12 6x, 15 3x, 18 3x, 21 3x, 27 1x.
    # At 90 % a tail is 1.35 of 27: low is the 2nd sum, 3, and high the 26th (25.65 rounded up), 21.
    mean, low, high = interval(np.array([0.0, 3.0, 9.0]), 0.9)
    assert (mean, low, high) == pytest.approx((4, 1, 7))


def test_metrics_are_independent_and_keep_their_shape():
    values = np.random.default_rng(0).normal(size=(5, 2, 3))
    together = np.stack(interval(values))
    alone = np.stack([interval(values[:, i, j]) for i in range(2) for j in range(3)], -1).reshape(3, 2, 3)
    assert together.shape == (3, 2, 3)
    np.testing.assert_allclose(together, alone)


def test_many_seeds_are_resampled_reproducibly_and_nearly_exactly():
    values = np.random.default_rng(1).normal(size=100)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    mean, low, high = interval(values)
    assert interval(values) == (mean, low, high)
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002
    error = values.std() / 10  # of the bootstrap distribution, here close to normal
    assert (low, high) == pytest.approx((mean - 1.96 * error, mean + 1.96 * error), abs=0.1 * error)


@pytest.mark.parametrize("seeds", [2, 5, 12])
@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.0])
def test_equal_seeds_have_an_interval_of_no_width(seeds, value):
    assert interval(np.full(seeds, value)) == (value, value, value)


def test_one_seed_has_a_mean_and_no_interval():
    mean, low, high = interval(np.array([[0.5, 0.7]]))
    assert mean.tolist() == [0.5, 0.7]
    assert np.isnan([low, high]).all()


def test_a_metric_that_one_seed_lacks_is_nan_and_the_others_are_not():
    mean, low, high = interval(np.array([[0.1, 0.5], [0.2, np.nan], [0.3, 0.7]]))
    assert np.isnan([mean[1], low[1], high[1]]).all()
    assert (mean[0], low[0], high[0]) == pytest.approx((0.2, *enumerated([0.1, 0.2, 0.3], 0.95)))


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_a_confidence_in_percent_is_refused(confidence):
    with pytest.raises(ValueError, match="expected a number between 0 and 1"):
        interval(np.ones(3), confidence)


def test_no_seed_is_refused():
    with pytest.raises(ValueError, match="0 seeds"):
        interval(np.ones((0, 2)))


def test_a_paired_difference_cancels_what_seeds_share():
    luck = pd.Series([0.1, 0.5, 0.9], index=[0, 1, 2])
    mean, low, high = paired_difference(luck + 0.01, luck[::-1])
    assert (mean, low, high) == pytest.approx((0.01, 0.01, 0.01))


@pytest.mark.parametrize("seeds", [[0, 1, 3], [0, 1], [0, 1, 1]])
def test_a_paired_difference_of_other_seeds_is_refused(seeds):
    with pytest.raises(ValueError, match="the same seeds, each once"):
        paired_difference(pd.Series([1.0, 2.0, 3.0]), pd.Series(1.0, index=seeds))


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.95, 0.941, 0.9594), "0.950 [0.941, 0.959]"),
        ((-0.0001, -0.25, 0.25), "0.000 [-0.250, 0.250]"),
        ((0.95, np.nan, np.nan), "0.950"),
        ((np.nan, np.nan, np.nan), "-"),
    ],
)
def test_a_mean_is_shown_with_its_interval_if_it_has_one(numbers, text):
    assert with_interval(*numbers) == text
