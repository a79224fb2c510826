"""The contract between methods and engine."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import rrrbench.datasets
import rrrbench.methods
import torch
from rrrbench.methods.fitting import Fitted


def fitted(weight: float = 0.0, right_answer: float = 0.0, right_reason: float = 0.0) -> Fitted:
    """Two runs of one seed, the second with these numbers at the end."""
    curve = torch.zeros(1, 2, 3)
    curves = {name: curve.clone() for name in ("right_answer", "right_reason", "accuracy/validation")}
    curves["right_answer"][0, 1, -1], curves["right_reason"][0, 1, -1] = right_answer, right_reason
    return Fitted({"weight": torch.tensor([[[1.0], [weight]]])}, curves, {}, torch.zeros(1, 2))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["weight", "right_answer", "right_reason"])
def test_a_run_diverged_with_a_parameter_or_a_last_loss_that_is_not_finite(where, number):
    assert fitted(**{where: number}).diverged.tolist() == [[False, True]]
    assert fitted(**{where: 1e30}).diverged.tolist() == [[False, False]]


@pytest.mark.long
@pytest.mark.parametrize("package", [rrrbench.datasets, rrrbench.methods], ids=lambda package: package.__name__)
def test_no_module_imports_from_the_benchmark(package):
    files = list(Path(package.__path__[0]).rglob("*.py"))
    assert len(files) > 5
    imported = {
        (file.name, node.module)
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert not [(name, module) for name, module in imported if "benchmark" in (module or "").split(".")]
