"""Rank correlation with an untrained network's attributions, by hand and at its ends."""

import pytest
import torch
from rrrbench.benchmark.metrics.evaluated import Evaluated
from rrrbench.benchmark.metrics.randomisation import untrained_rank_correlations
from small import small_dataset
from scipy.stats import spearmanr


def measure(trained, untrained):
    """Of one network's attributions."""
    evaluated = Evaluated(small_dataset(), attributions={"some": trained[None]}, untrained={"some": untrained[None]})
    values = {name: value.item() for name, value in untrained_rank_correlations(evaluated).items()}
    return {name: value for name, value in values.items() if value == value}


def found(trained, untrained):
    return measure(torch.tensor(trained), torch.tensor(untrained))


def test_is_spearman_s_correlation_of_the_sizes_by_input():
    trained, untrained = torch.randn(5, 3, 4, 4), torch.randn(5, 3, 4, 4)
    untrained[:, :, 0] = trained[:, :, 1] = 1  # ties
    each = [spearmanr(a.abs().flatten(), b.abs().flatten()).statistic for a, b in zip(trained, untrained, strict=True)]
    measured = measure(trained, untrained)
    assert measured["untrained_rank_correlation/some"] == pytest.approx(sum(each) / 5)


def test_ends():
    assert found([[1.0, -2.0, 3.0]], [[-10.0, 20.0, 30.0]]) == {"untrained_rank_correlation/some": pytest.approx(1)}
    assert found([[1.0, -2.0, 3.0]], [[3.0, 2.0, 1.0]]) == {"untrained_rank_correlation/some": pytest.approx(-1)}


def test_a_constant_is_left_out_and_nothing_else_is_absent():
    constant_first = found([[1.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]])
    assert constant_first == {"untrained_rank_correlation/some": pytest.approx(1)}
    assert found([[1.0, 1.0]], [[1.0, 2.0]]) == {}


def test_what_neither_network_is_given_an_attribution_for_is_no_agreement():
    """Ranks 1 2 3 against 1 3 2: 1 - 6 (1 + 1) / 24 = 0.5, whatever the background's size."""
    background = [0.0] * 20
    trained, untrained = [1.0, 2.0, 3.0, *background], [1.0, 3.0, 2.0, *background]
    assert found([trained], [untrained]) == {"untrained_rank_correlation/some": pytest.approx(0.5)}
