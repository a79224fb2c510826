from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from rrrbench.benchmark import everything, suites
from typer.testing import CliRunner

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture
def asked(monkeypatch):
    """The commands that were run; one of them fails."""
    monkeypatch.chdir(RESULTS.parent)
    commands = []

    def run(command, check):
        commands.append(command[1:])
        return subprocess.CompletedProcess(command, 1 if command[1:3] == ["run", "two-shortcuts"] else 0)

    monkeypatch.setattr(everything.subprocess, "run", run)
    return commands


@pytest.fixture
def invoke():
    app = everything.typer.Typer()
    app.command()(everything.main)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_every_committed_table_and_file_of_records_is_made(monkeypatch):
    monkeypatch.chdir(RESULTS.parent)
    made = {word for step in everything.steps() for command in step.commands for word in command}
    committed = [*(RESULTS / "leaderboard").glob("*.csv"), *(RESULTS / "records").glob("*.parquet")]
    assert committed
    assert {path.relative_to(RESULTS.parent).as_posix() for path in committed} <= made
    assert {path.stem for path in (RESULTS / "reproduced").glob("*.csv")} <= made
    assert set(everything.SUITES) <= set(suites.names())


def test_a_step_that_fails_is_named_and_the_others_go_on(asked, invoke):
    done = invoke("two-shortcuts", "explainers")
    assert done.exit_code == 1
    assert "not made: two-shortcuts" in done.output
    assert [command[:2] for command in asked] == [
        ["run", "two-shortcuts"],
        ["run", "explainers"],
        *[["leaderboard", "explainers"]] * 2,
    ]


def test_the_steps_are_listed_with_their_minutes_and_nothing_is_run(asked, invoke):
    done = invoke("--dry-run")
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()[2:-1]] == [step.name for step in everything.steps()]
    assert not asked


def test_an_unknown_step_is_refused(asked, invoke):
    done = invoke("nosuch")
    assert done.exit_code == 2
    assert "no step is called nosuch" in done.output
