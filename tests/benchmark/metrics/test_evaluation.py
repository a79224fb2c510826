"""Evaluation loops over the metrics: a new metric is one function, and is found in a record."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rrrbench.benchmark.metrics import evaluation
from rrrbench.benchmark.metrics.base import Metric, metrics
from rrrbench.benchmark.metrics.column import Column
from rrrbench.benchmark.running.executors import Settings, Task, run_stack
from tiny import tiny_suite

ECE = "expected_calibration_error/{split}"


def calibration_error(logits, labels, bins=10):
    """|accuracy - confidence| by bins of the confidence, weighted by the bins' shares (Guo et al. 2017)."""
    confidence, predicted = logits.softmax(-1).max(-1)
    member = (confidence * bins).long().clamp(max=bins - 1)
    gap = (predicted == labels).double() - confidence.double()
    return gap.new_zeros(*gap.shape[:-1], bins).scatter_add(-1, member, gap).abs().sum(-1) / gap.shape[-1]


@pytest.fixture
def calibrated():
    with metrics.temporary():

        @metrics.measured_by(
            Metric(
                ECE,
                "lower",
                0,
                1,
                "confidence - accuracy",
                "Confidence against accuracy.",
                (Column("expected_calibration_error/random", "calibration", order=15),),
            )
        )
        def calibration_errors(evaluated):
            return {
                ECE.format(split=name): calibration_error(logits.cpu(), evaluated.splits[name].labels)
                for name, logits in evaluated.logits.items()
            }

        yield


def test_calibration_error_by_hand():
    """Confidences 0.95 (right), 0.95 (wrong) and 0.65 (right): (|1 + 0 - 1.9| + |1 - 0.65|) / 3."""
    logits = torch.tensor([[0.95, 0.05], [0.95, 0.05], [0.35, 0.65]]).log()
    assert calibration_error(logits, torch.tensor([0, 1, 1])).item() == pytest.approx((0.9 + 0.35) / 3)


@pytest.mark.long
def test_a_new_metric_is_one_function_and_is_in_the_record_and_the_table(calibrated):
    stack = tiny_suite(epochs=1, seeds=(0,)).stacks()[-1]
    records = run_stack(Task(stack), Settings(engine="stacked")).records
    for record in records:
        assert 0 < record.metrics["expected_calibration_error/random"] < 1
        assert "expected_calibration_error/validation_swap" in record.metrics
    assert ECE in metrics.names()
    assert [column.title for column in metrics.columns()][5:7] == ["calibration", "flip_rate"]


def test_a_temporary_metric_is_forgotten(calibrated):
    with metrics.temporary():
        metrics.describe(Metric("seconds_of_thought", "lower", 0, 1, "none", "Made up."))
        assert "seconds_of_thought" in metrics.names()
    assert "seconds_of_thought" not in metrics.names()
    assert ECE in metrics.names()


def test_without_the_fixture_the_registration_is_undone():
    assert ECE not in metrics.names()


@pytest.mark.long
def test_strengths_in_parts_have_the_numbers_of_all_at_once(monkeypatch):
    stack = replace(tiny_suite(epochs=1, seeds=(0,)).stacks()[-1], strengths=(0.1, 1.0, 1e30))
    whole, parts = [], []
    for found, kept in ((whole, 2**28), (parts, 1)):
        monkeypatch.setattr(evaluation, "KEPT_ATTRIBUTIONS", kept)
        found += run_stack(Task(stack), Settings(engine="stacked")).records
    assert len(whole) == 3
    for one, other in zip(whole, parts, strict=True):
        same = [name for name in one.metrics if not name.startswith("seconds")]
        assert [one.metrics[name] for name in same] == [other.metrics[name] for name in same]
        assert one.metrics.keys() == other.metrics.keys()
        assert not any(np.isnan(value) for value in one.metrics.values())


def test_two_functions_cannot_measure_one_metric():
    with metrics.temporary(), pytest.raises(ValueError, match="two metrics have the id 'flip_rate'"):
        metrics.measured_by(Metric("flip_rate", "lower", 0, 1, "none", "Another."))(lambda evaluated: {})
