from __future__ import annotations

import pytest
from rrrbench.benchmark.speed import suites
from rrrbench.benchmark.suite.loading import load_suite


def test_the_row_of_executors_compares_here_with_auto(monkeypatch, tmp_path):
    took = {("--executor", "here"): 60.0, ("--executor", "auto"): 40.0}
    monkeypatch.setattr(suites, "_run", lambda path, folder, *options, home: took[options])
    (row,) = suites._of_convolutions()
    assert row.samples == [1.5]
    (tmp_path / "lenets.toml").write_text(suites.LENETS)
    assert len(load_suite(str(tmp_path / "lenets.toml")).keys()) == 12


def test_the_harness_is_counted_with_and_without_tracing(monkeypatch):
    monkeypatch.setattr(suites, "_run", lambda path, folder, *options, home: 60.0)
    monkeypatch.setattr(suites, "_shortened", lambda folder: "bench")
    monkeypatch.setattr(suites, "_training_seconds", lambda path, folder, home: (30.0, 10.0))
    monkeypatch.setattr(suites, "plain_seconds", lambda suite: 90.0)
    monkeypatch.setattr(suites, "EPOCHS", load_suite(suites.SUITE).sweeps[0].training.epochs)  # nothing is scaled
    _, harness, with_tracing = suites._whole_suite()
    assert harness.samples == pytest.approx([100 * 20 / 30])
    assert with_tracing.samples == pytest.approx([100 * 30 / 30])
