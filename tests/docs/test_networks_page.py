"""The examples of docs/networks.md, as they stand there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import torch
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.networks.check import check
from rrrbench.benchmark.suite.loading import load_suite
from rrrbench.datasets import own_code
from rrrbench.datasets.recipe import make
from typer.testing import CliRunner

PAGE = (Path(__file__).parents[2] / "docs/networks.md").read_text()
SUITES = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)]
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
(COMMAND,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """The networks of the page by their names, in a folder that has the files that the page names."""
    monkeypatch.chdir(tmp_path)
    Path("my_net.py").write_text(CODE)
    with own_code.temporary():
        own_code.load([Path("my_net.py")])
        yield {
            "named weights": SUITES[0]["network"],
            "a file": SUITES[1]["network"],
            "module": SUITES[2]["network"],
            "after_erm": SUITES[3]["sweeps"]["network"],
        }


def test_torchvisions_weights_by_name(spec):
    assert networks.resolve(spec["named weights"]).normalized


@pytest.mark.slow
def test_a_file_of_weights(spec):
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=10).state_dict(), "biased.pt")
    check(networks.resolve(spec["a file"]), make("decoy", 0, base="digits"))


def test_the_function(spec):
    recipe, draw = networks.resolve(spec["module"]), make("decoy", 0, base="digits")
    check(recipe, draw)
    assert isinstance(recipe.build(draw, 0).head, torch.nn.Linear)


def test_the_trained_network_is_the_repair_suites(spec):
    assert networks.resolve(spec["after_erm"]) == load_suite("repair").sweeps[0].network


@pytest.mark.slow
def test_the_command(spec, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    suite = {
        "network": 'network = { name = "module", build = "my_net:build", batch_norm = "group" }',
        "rest": 'dataset = { name = "decoy", base = "digits" }\ntraining = { epochs = 1 }\nmitigations = '
        '[{ mitigation = "erm" }, { mitigation = "rrr", strengths = [1.0] }]',
    }
    Path("own.toml").write_text("seeds = [0]\n[[sweeps]]\n" + "\n".join(suite.values()))
    result = CliRunner().invoke(app, COMMAND.split()[1:], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "2 of 2 runs recorded" in result.output


def test_the_fields_are_those_of_the_table():
    known = set(networks["torchvision"].model_fields)
    named = {row.split("`")[1] for row in PAGE.splitlines() if row.startswith("| `")}
    assert named < known
    assert known - named == {"pixel_range", "weights_sha256"}
