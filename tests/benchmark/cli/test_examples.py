"""Every example below a command's `--help` does what it says."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import typer
from rrrbench.benchmark.cli import app, ui
from rrrbench.benchmark.networks import networks
from rrrbench.datasets import own_code
from torch import nn
from typer.testing import CliRunner

FILES = {
    "my_net.py": """
from collections import OrderedDict
from typing import ClassVar

from rrrbench.benchmark.networks import NetworkRecipe, networks
from torch import nn


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


@networks.register
class MyNet(NetworkRecipe):
    name: ClassVar[str] = "my_net"

    def layers(self, features, classes):
        width = features[0] * features[1] * features[2]
        return OrderedDict(flatten=nn.Flatten(), linear=nn.Linear(width, 6), relu=nn.ReLU()), nn.Linear(6, classes)
""",
    "my_suite.toml": """
description = "A network of mine."
seeds = [0]
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "my_net" }
training = { epochs = 1, batch_size = 256 }
mitigations = [{ mitigation = "erm" }, { mitigation = "rrr", strengths = [1.0] }]
""",
}


def examples(command=None, name="rrrbench") -> list[tuple[str, str]]:
    """Each command's name, with each line of its examples."""
    command = command or typer.main.get_command(app)
    lines = (command.epilog or "").replace("Example: ", "").split("\n\n")
    inner = [one for key, value in getattr(command, "commands", {}).items() for one in examples(value, f"{name} {key}")]
    return [(name, line) for line in lines if line.startswith("rrrbench ")] + inner


@pytest.mark.slow
def test_every_example_does_what_it_says(tmp_path, uri, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "no data"))
    pages = []

    @contextmanager
    def started(database, port, log):
        pages.append(port)
        yield SimpleNamespace(poll=lambda: None, wait=lambda: 0)

    for name, stand_in in (
        ("_started", started),
        ("_answers", lambda port: True),
        ("_require_free", lambda port: None),
    ):
        monkeypatch.setattr(ui, name, stand_in)
    for name, text in FILES.items():
        Path(name).write_text(text)
    torch.save(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).state_dict(), "w.pt")
    for command, line in examples():
        assert line.startswith(command)
        with own_code.temporary(), networks.temporary():
            done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
        assert done.exit_code == 0, f"{line}\n{done.output}"
    written = ("looks.png", "smoke.csv", "smoke.parquet", "site/index.html", "another_site/index.html", "other.db")
    for path in (*written, "my_penalty.py", "my_data.py", "my_sweep.toml"):
        assert Path(path).stat().st_size, path
    assert pages == [5001]


def test_commands_that_take_something_have_an_example():
    shown = {name for name, _ in examples()}
    assert shown >= {
        f"rrrbench {name}"
        for name in ["run", "reproduce", "log", "evaluate", "check", "records", "leaderboard", "report"]
    }
