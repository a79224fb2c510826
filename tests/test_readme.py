"""The README's code is run as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def run(code: str, package: str, name: str) -> types.ModuleType:
    module = types.ModuleType(f"{package}.{name}")
    module.__package__ = package
    sys.modules[module.__name__] = module
    exec(compile(code, f"README/{name}.py", "exec"), module.__dict__)
    return module


@pytest.fixture(autouse=True)
def registries():
    """What the README registers is forgotten afterwards."""
    from rrrbench.datasets.recipe import datasets
    from rrrbench.methods.base import mitigations

    with datasets.temporary(), mitigations.temporary():
        yield


def test_the_dataset():
    dataset = run(BLOCKS[0], "rrrbench.datasets", "stripe").Stripe(inputs=50).make(0)
    aligned, clean = dataset.test("aligned"), dataset.test("clean")
    differs = aligned.inputs != clean.inputs
    assert differs.any()
    assert not (differs & ~aligned.masks).any()


def test_the_mitigation():
    from small import small_trainer

    mitigation = run(BLOCKS[1], "rrrbench.methods.mitigations", "input_gradient_l1").InputGradientL1()
    liveness = mitigation.fit(small_trainer()).liveness["start"]
    assert (liveness[:, 0] == 0).all()
    assert (liveness[:, 1] > 0).all()


def test_rrr_in_ten_lines():
    torch.manual_seed(0)
    module = run(BLOCKS[2], "rrrbench", "ten_lines")
    loop = BLOCKS[2].split("data = make")[1].strip().splitlines()
    assert len(loop) <= 10
    data, model = module.data, module.model
    inputs = data.inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs).log_softmax(-1).sum(), inputs)
    inside = (gradient * data.masks).abs().mean() / gradient.abs().mean()
    assert inside < 0.1 * data.masks.float().mean()
