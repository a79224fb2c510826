"""The tutorial's commands, as they stand there, in the order in which they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from rrrbench.benchmark.cli import app
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/tutorial.md").read_text(), flags=re.DOTALL)
COMMANDS = [shlex.split(line) for block in BLOCKS for line in block.splitlines()]


@pytest.fixture(autouse=True)
def registry():
    """What the tutorial registers is forgotten afterwards."""
    from rrrbench.methods.base import mitigations

    with mitigations.temporary():
        yield


def test_the_tutorial_names_targets_and_commands_that_there_are():
    assert COMMANDS[0] == ["make", "setup"]
    assert re.search(r"^setup:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    names = {command.name or command.callback.__name__ for command in app.registered_commands}
    groups = {group.name for group in app.registered_groups}
    assert len(COMMANDS) == 6
    for program, command, *_ in COMMANDS[1:]:
        assert program.removeprefix(".venv/bin/") == "rrrbench"
        assert command in names | groups


@pytest.mark.slow
def test_the_tutorials_commands_end_with_a_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for _, *words in COMMANDS[1:]:  # `make setup` made the environment that this runs in
        result = CliRunner().invoke(app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "site/index.html").is_file()
    assert (tmp_path / "my_penalty.json").is_file()
