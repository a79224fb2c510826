"""`rrrbench check`: a file's entries held to their laws. Each law is broken once, and what it says is read."""

from __future__ import annotations

import re
import textwrap

import pytest
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.conformance import checking, file_laws
from rrrbench.benchmark.conformance.file_laws import REGISTRIES
from typer.testing import CliRunner

HEAD = """
from __future__ import annotations
from collections import OrderedDict
from typing import ClassVar
from dataclasses import replace
import random
import sys
import torch
from torch import nn
from rrrbench.benchmark.metrics.base import Metric, metrics
from rrrbench.benchmark.networks.base import NetworkRecipe, networks
from rrrbench.datasets.base import generator
from rrrbench.datasets.decoy import Decoy
from rrrbench.datasets.recipe import datasets
from rrrbench.methods.base import Mitigation, Terms, cross_entropy, mitigations
from rrrbench.methods.explainers.base import Explainer, explainers
from rrrbench.methods.mitigations.rrr import RRR
"""
NETWORK = """
@networks.register
class Own(NetworkRecipe):
    name: ClassVar[str] = "own"
    def layers(self, features, classes):
        width = 1
        for size in features:
            width *= size
        return OrderedDict(flatten=nn.Flatten(), dense=nn.Linear(width, 6){more}), {head}
"""
EXPLAINER = """
@explainers.register
class Own(Explainer):
    name: ClassVar[str] = "own"
    def explain(self, network, inputs, target, baselines):
        {body}
"""
DATASET = """
@datasets.register
class Own(Decoy):
    name: ClassVar[str] = "own"
    def render(self, seed):
        made = super().render({seed})
        {body}
        return made
"""
METRIC = """
@metrics.measured_by(Metric("own_score", "higher", 0, 1, "none", "A score."))
def own_score(evaluated):
    return {{"own_score": {value}}}
"""
MITIGATION = """
@mitigations.register
class Own(RRR):
    name: ClassVar[str] = "own"
    def terms(self, net, batch, strength):
        terms = super().terms(net, batch, strength)
        {body}
"""


def network(more="", head="nn.Linear(6, classes)"):
    return NETWORK.format(more=more, head=head)


HOLDS = {
    "network": network(),
    "explainer": EXPLAINER.format(body="return inputs * target[:, None, None, None].to(inputs)"),
    "dataset": DATASET.format(seed="seed", body="pass"),
    "metric": METRIC.format(value="torch.ones(len(evaluated.networks))"),
    "mitigation": MITIGATION.format(body="return terms"),
}
BROKEN = {
    "dropout": (network(", drop=nn.Dropout(0.5)"), r"broken  1 it is built.*draws random numbers"),
    "two outputs": (network(head="nn.LSTM(6, classes)"), "broken  1 .*gives a tuple"),
    "a seed that is not used": (DATASET.format(seed="0", body="pass"), "broken  1 .*seeds 0 and 1 give the same data"),
    "data drawn without the seed": (
        DATASET.format(seed="seed + random.getrandbits(30)", body="pass"),
        "broken  1 .*other data at the second time|broken  1 .*global random state moved",
    ),
    "a twin that differs outside": (
        DATASET.format(seed="seed", body='made.environments["conflict"].inputs[:, :, 14, 14] ^= 1'),
        "broken  2 .*conflict differs from aligned in 500 values outside the mask",
    ),
    "the label in every environment": (
        DATASET.format(
            seed="seed",
            body="aligned = made.environments['aligned']\n"
            "        for name in ('conflict', 'reversed', 'random'):\n"
            "            split = made.environments[name]\n"
            "            made.environments[name] = replace(split, inputs=aligned.inputs)",
        ),
        r"broken  2 twins of other.*(\d+) of \1 inputs with another shortcut value in \w+ than in \w+ have the",
    ),
    "a mask too large": (
        DATASET.format(seed="seed", body="[split.masks.fill_(True) for split in made.environments.values()]"),
        "broken  2 the mask is where.*masked positions are the same",
    ),
    "an environment of another name": (
        DATASET.format(seed="seed", body='made.environments["conflict"] = made.environments["aligned"]'),
        "broken  3 .*conflict has inputs with their own shortcut",
    ),
    "validation is training": (
        DATASET.format(seed="seed", body="made = replace(made, validation=made.train)"),
        "broken  4 .*inputs are both in train and in validation",
    ),
    "attributions of another shape": (
        EXPLAINER.format(body="return inputs.sum(1)"), r"broken  1 .*attributions are \(5, 6, 6\) for inputs",
    ),
    "attributions of zero": (
        EXPLAINER.format(body="return torch.zeros_like(inputs)"),
        r"broken  1 attributions tell.*every attribution of an input is the same number \(0 for the first\)",
    ),
    "an attribution for all": (
        EXPLAINER.format(body="return inputs.flatten(1).sum(1)[:, None, None, None].expand_as(inputs)"),
        "broken  1 attributions tell.*the same number",
    ),
    "attributions by the batch": (
        EXPLAINER.format(body="return inputs - inputs.mean(0)"),
        r"broken  2 .*in a batch and alone differ by 0\.\d+ \(.*where \S+ is allowed for rounding: explain each",
    ),
    "a parameter moved": (
        EXPLAINER.format(body="network[0].weight.data += 1; return inputs"), "broken  3 .*or their gradients changed",
    ),
    "a hook left": (
        EXPLAINER.format(body="network[0].register_forward_hook(print); return inputs"), "broken  3 .*hooks",
    ),
    "outside its range": (METRIC.format(value="torch.full((2,), 1.5)"), r"broken  1 .*own_score is \[1\.5\], outside"),
    "one number too many": (METRIC.format(value="torch.ones(3)"), r"broken  1 .*shape \(3,\): one a network"),
    "a metric that draws": (METRIC.format(value="torch.rand(2)"), "broken  2 .*global random state moved"),
    "never its own name": (METRIC.format(value="1.0").replace('{"own', '{"other'), "broken  1 .*measures no own_score"),
    "a list": (METRIC.format(value="[1.0, 0.5]"), "broken  1 .*own_score is a list: give a tensor"),
    "never a number": (METRIC.format(value="float('nan')"), "broken  1 .*own_score is NaN for each of 2"),
    "a name of no metric": (
        METRIC.format(value='1.0, "stray_score": 0.5'), "broken  1 .*measures 'stray_score', which no metric is called",
    ),
    "a number of another metric": (
        METRIC.format(value='1.0, "flip_rate": 0.0'),
        "broken  1 .*own_score measures 'flip_rate', a number of the metric 'flip_rate', which rrrbench.*leave",
    ),
    "a number that a fit reports": (
        METRIC.format(value='1.0, "regret": 0.0'), "broken  1 .*'regret', which no function measures",
    ),
    "strength without effect": (
        MITIGATION.format(body="return Terms(terms.right_answer, 0 * terms.right_reason)"), "broken  2 .*is zero",
    ),
    "a term at strength 0": (
        MITIGATION.format(body="return Terms(terms.right_answer, terms.right_reason + net(batch.inputs).sum())"),
        "broken  1 strength 0 is ERM",
    ),
    "a global draw in augment": (
        MITIGATION.format(
            body="return terms\n    def augment(self, batch, classes, generator):\n        torch.rand(1)\n"
            "        return batch._replace(inputs=batch.inputs + torch.rand(1).item() / 9)"
        ),
        r"broken  1 strength 0 is ERM.*law 5 does not hold either.*: the global random state moved: draw in augment",
    ),
    "a term that is a sum": (
        MITIGATION.format(body="return Terms(terms.right_answer, terms.right_reason * len(batch.inputs))"),
        r"broken  3 .*of all 24, differ by \S+ \(.*where \S+ is allowed for rounding: let a term be a mean over inputs",
    ),
    "raises": (EXPLAINER.format(body="return inputs.nothing"), "broken  1 .*AttributeError"),
    "exits": (EXPLAINER.format(body="sys.exit(0)"), "broken  1 .*SystemExit"),
}  # fmt: skip


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Checks a file in this process, which has imported everything; test_checking.py checks in another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checking, "watched", lambda path, *_: file_laws.checked(path))

    def run(content: str):
        (tmp_path / "own.py").write_text(HEAD + textwrap.dedent(content))
        return CliRunner().invoke(app, ["check", "own.py"], catch_exceptions=False)

    return run


@pytest.mark.long
@pytest.mark.parametrize("kind", HOLDS)
def test_what_keeps_its_laws_ends_well_and_is_forgotten(check, kind):
    done = check(HOLDS[kind])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{kind} own")
    assert "broken" not in done.output
    assert "own" not in REGISTRIES[kind].names()


@pytest.mark.usefixtures("shapes_unchecked")
# every third of them at every change: they are in the order of what is broken
@pytest.mark.long
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(*BROKEN[law], id=law, marks=[pytest.mark.slow] * (place % 3 > 0))
        for place, law in enumerate(BROKEN)
    ],
)
def test_a_broken_law_is_named_with_what_was_measured(check, content, message):
    done = check(content)
    assert done.exit_code == 1, done.output
    assert re.search(message, done.stdout), done.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sys.exit(0)", r"calls sys\.exit\(0\)"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("import nothing_of_this_name", "cannot be imported: ModuleNotFoundError"),
        ("x = 1", "registers no mitigation, network, dataset, explainer, metric"),
        (
            METRIC.format(value="1.0").replace('"higher"', '"bigger"'),
            "'own_score' is better 'bigger'; did you mean higher",
        ),
        (
            METRIC.format(value="1.0").replace("0, 1", "1, 1"),
            r"'own_score' has no numbers in \[1, 1\]: give low < high",
        ),
    ],
)
def test_a_file_without_anything_to_check_is_refused(check, content, message, shapes_unchecked):
    done = check(content)
    assert done.exit_code == 2
    assert re.search(message, done.output), done.output


@pytest.mark.slow
def test_a_file_of_the_package_is_checked_too():
    from rrrbench.methods.explainers import input_gradient

    done = CliRunner().invoke(app, ["check", input_gradient.__file__], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout.count("holds") == 4
