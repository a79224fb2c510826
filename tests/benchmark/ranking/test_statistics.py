import numpy as np
import pandas as pd
import pytest
from rrrbench.benchmark.ranking.statistics import (
    Interval,
    holm,
    interval,
    mean_of_means,
    paired_difference,
    paired_p,
    with_interval,
)
from scipy.stats import ttest_1samp, ttest_ind


def test_three_seeds_by_hand():
    # mean 4, sd √21, and Student's t with 2 degrees of freedom is 2.920 at 95 %.
    assert interval(np.array([0.0, 3.0, 9.0]), 0.9) == pytest.approx((4, 4 - 7.7256, 4 + 7.7256), abs=1e-3)


@pytest.mark.parametrize("seeds", [2, 5, 10])
def test_the_interval_is_that_of_scipy(seeds):
    values = np.random.default_rng(seeds).normal(size=seeds)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((values.mean(), expected.low, expected.high))


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_true_mean_as_often_as_it_says(seeds):
    _, low, high = interval(np.random.default_rng(0).normal(0.9, 0.02, (seeds, 20_000)))
    covered = ((low <= 0.9) & (high >= 0.9)).mean()
    assert covered == pytest.approx(0.95, abs=0.006)  # four standard errors of 20,000 draws


def test_an_interval_is_cut_at_a_metrics_range():
    shares = interval(np.array([[0.90, 0.01], [1.00, 0.03]]))
    assert shares.high[0] > 1
    assert shares.low[1] < 0
    _, low, high = shares.within(0, 1)
    assert (low[0], high[0]) == (shares.low[0], 1)
    assert (low[1], high[1]) == (0, shares.high[1])
    np.testing.assert_array_equal(shares.within(-np.inf, np.inf), shares)


def test_a_cut_interval_has_its_mean_which_rounding_may_put_beyond_the_range():
    assert Interval(*map(np.float64, (1.001, 0.9, 1.1))).within(0, 1) == (1.001, 0.9, 1.001)


def test_no_interval_stays_none_when_it_is_cut():
    _, low, high = interval(np.array([0.5])).within(0, 1)
    assert np.isnan([low, high]).all()


def test_metrics_are_independent_and_keep_their_shape():
    values = np.random.default_rng(0).normal(size=(5, 2, 3))
    together = np.stack(interval(values))
    alone = np.stack([interval(values[:, i, j]) for i in range(2) for j in range(3)], -1).reshape(3, 2, 3)
    assert together.shape == (3, 2, 3)
    np.testing.assert_allclose(together, alone)


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
    assert (mean[0], low[0], high[0]) == pytest.approx(interval(np.array([0.1, 0.2, 0.3])))


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


def test_the_p_value_is_that_of_the_paired_t_test():
    differences = np.random.default_rng(0).normal(0.3, 1, 6)
    assert paired_p(differences) == pytest.approx(ttest_1samp(differences, 0).pvalue)


@pytest.mark.parametrize(("differences", "p"), [([0.0, 0.0], 1), ([0.1, 0.1, 0.1], 0), ([0.1], np.nan)])
def test_the_p_value_of_equal_differences(differences, p):
    assert paired_p(np.array(differences)) == pytest.approx(p, nan_ok=True)


def test_the_p_value_is_below_a_twentieth_where_the_interval_excludes_0():
    draws = np.random.default_rng(1).normal(0.8, 1, (200, 5))
    excluded = [not low <= 0 <= high for _, low, high in map(interval, draws)]
    assert 20 < sum(excluded) < 180
    assert [paired_p(own) < 0.05 for own in draws] == excluded


def test_holms_correction_by_hand():
    # 4 · 0.01; 3 · 0.02; then 2 · 0.03 = 0.06 stays; 1 · 0.9.
    p = pd.Series([0.03, 0.01, np.nan, 0.9, 0.02], index=list("abcde"))
    pd.testing.assert_series_equal(holm(p), pd.Series([0.06, 0.04, np.nan, 0.9, 0.06], index=list("abcde")))
    assert holm(pd.Series([0.6, 0.7])).tolist() == [1, 1]


def test_two_samples_means_have_the_interval_of_welchs_test():
    random = np.random.default_rng(2)
    one, other = random.normal(1, 1, 5), random.normal(2, 3, 7)
    expected = ttest_ind(one, -other, equal_var=False).confidence_interval(0.95)  # of the means' sum
    assert mean_of_means([one, other]) == pytest.approx(
        ((one.mean() + other.mean()) / 2, expected.low / 2, expected.high / 2)
    )


def test_samples_without_spread_have_an_interval_of_no_width_and_single_values_none():
    assert mean_of_means([np.array([0.5, 0.5]), np.array([0.7, 0.7])]) == pytest.approx((0.6, 0.6, 0.6))
    mean, low, high = mean_of_means([np.array([0.5]), np.array([0.7, 0.7])])
    assert (mean, np.isnan([low, high]).all()) == (pytest.approx(0.6), True)
