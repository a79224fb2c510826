"""Rank correlation with an untrained network's attributions, by hand and at its ends."""

import pytest
import torch
from rrrbench.benchmark.metrics.randomisation import measure
from scipy.stats import spearmanr


def found(trained, untrained):
    return measure({"some": torch.tensor(trained)}, {"some": torch.tensor(untrained)})


def test_is_spearman_s_correlation_of_the_sizes_by_input():
    trained, untrained = torch.randn(5, 3, 4, 4), torch.randn(5, 3, 4, 4)
    untrained[:, :, 0] = trained[:, :, 1] = 0  # ties
    each = [spearmanr(a.abs().flatten(), b.abs().flatten()).statistic for a, b in zip(trained, untrained, strict=True)]
    measured = measure({"some": trained}, {"some": untrained})
    assert measured["untrained_rank_correlation/some"] == pytest.approx(sum(each) / 5)


def test_ends():
    assert found([[1.0, -2.0, 3.0]], [[-10.0, 20.0, 30.0]]) == {"untrained_rank_correlation/some": pytest.approx(1)}
    assert found([[1.0, -2.0, 3.0]], [[3.0, 2.0, 1.0]]) == {"untrained_rank_correlation/some": pytest.approx(-1)}


def test_a_constant_is_left_out_and_nothing_else_is_absent():
    assert found([[1.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]])["untrained_rank_correlation/some"] == 1
    assert found([[1.0, 1.0]], [[1.0, 2.0]]) == {}
