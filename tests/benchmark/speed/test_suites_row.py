from __future__ import annotations

from rrrbench.benchmark.speed import suites


def test_the_row_of_executors_compares_here_with_auto(monkeypatch):
    asked = []
    monkeypatch.setattr(suites, "_run", lambda path, folder, *options, home: asked.append(options) or 60.0)
    monkeypatch.setattr(suites, "_shortened", lambda folder: "bench")
    monkeypatch.setattr(suites, "_training_seconds", lambda path, folder, home: (30.0, 1.0))
    monkeypatch.setattr(suites, "plain_seconds", lambda suite: 90.0)
    rows = [str(figure) for figure in suites._whole_suite()]
    assert asked == [("--executor", "here"), ("--executor", "auto")]
    assert any("executor here / auto" in row for row in rows)
