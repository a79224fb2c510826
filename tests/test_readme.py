"""The README's code is run as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch
from rrrbench.benchmark.report.reproduction_pages import count

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def block(text: str) -> str:
    """The README's one block of code with a text."""
    (found,) = [code for code in BLOCKS if text in code]
    return found


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
    dataset = run(block("class Stripe"), "rrrbench.datasets", "stripe").Stripe(inputs=50).make(0)
    aligned, clean = dataset.test("aligned"), dataset.test("clean")
    differs = aligned.inputs != clean.inputs
    assert differs.any()
    assert not (differs & ~aligned.masks).any()


def test_the_mitigation():
    from small import small_trainer

    mitigation = run(
        block("class InputGradientL1"), "rrrbench.methods.mitigations", "input_gradient_l1"
    ).InputGradientL1()
    liveness = mitigation.fit(small_trainer()).liveness["start"]
    assert (liveness[:, 0] == 0).all()
    assert (liveness[:, 1] > 0).all()


def test_rrr_in_ten_lines():
    torch.manual_seed(0)
    module = run(block("rrr_loss"), "rrrbench", "ten_lines")
    loop = block("rrr_loss").split("data = make")[1].strip().splitlines()
    assert len(loop) <= 10
    data, model = module.data, module.model
    inputs = data.inputs.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs).log_softmax(-1).sum(), inputs)
    inside = (gradient * data.masks).abs().mean() / gradient.abs().mean()
    assert inside < 0.1 * data.masks.float().mean()


@pytest.mark.long
def test_judging_a_network_in_ten_lines(capsys):
    torch.manual_seed(0)
    code = block("rb.evaluate")
    assert len([line for line in code.splitlines() if line and not line.startswith("import")]) <= 10
    module = run(code, "rrrbench", "judging")
    assert module.report.metrics["accuracy/aligned"] > 0.8
    assert "flip_rate" in capsys.readouterr().out


def test_the_published_numbers_that_hold_are_as_many_as_the_tables_say():
    text = " ".join((ROOT / "README.md").read_text().split())
    said = re.search(
        r"of (\d+) that could be judged, (\d+) are reproduced \((\d+) within a point of our mean, (\d+) by the "
        r"interval alone: .*?, (\d+) close \(within three points\) and (\d+) not",
        text,
    )
    told = count(ROOT / "results").splitlines()[-1]
    counted = re.match(r"all: (\d+) .*?: (\d+) reproduced \((\d+) of .*?, (\d+) close, (\d+) not", told)
    judged, reproduced, near, alone, close, no = map(int, said.groups())
    assert (judged, reproduced, alone, close, no) == tuple(map(int, counted.groups()))
    assert near + alone == reproduced


def test_the_number_of_alternatives_is_that_of_the_registry():
    from rrrbench.methods.base import mitigations

    (said,) = re.findall(r"and (\d+) alternatives", (ROOT / "README.md").read_text())
    assert int(said) == len(mitigations.names()) - len(("rrr", "erm", "oracle_clean")), "besides RRR and the two bounds"
