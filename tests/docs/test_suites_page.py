"""The suite of docs/suites.md: it is the file that `rrrbench new suite` writes, it runs, and it has every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.suite.explanation import CounterfactualSweep
from rrrbench.benchmark.suite.loading import load_suite
from rrrbench.benchmark.suite.sweep import MitigationSweep, Suite, Sweep, Units
from rrrbench.benchmark.suite.training import Training
from typer.testing import CliRunner

PAGE = (Path(__file__).parents[2] / "docs/suites.md").read_text()
(TEXT,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
SWEEPS, COUNTERFACTUALS = TEXT.split("#[[counterfactuals]]")


def switched_on(text):
    return re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """The file that the page's command writes, in a folder without data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "no data"))
    (command,) = re.findall(r"```sh\nrrrbench (.*)\n```", PAGE)
    result = CliRunner().invoke(app, command.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return Path("my_suite.toml")


def test_the_page_shows_what_the_command_writes(written):
    assert written.read_text() == TEXT


@pytest.mark.long
def test_it_can_be_run_as_it_is(written, monkeypatch):
    monkeypatch.setenv("RRRBENCH_HOME", "results")
    result = CliRunner().invoke(app, ["run", str(written), "--dry-run"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("my_suite: 66 runs: 0 finished, 66 to train\n")
    assert "takes about" in result.stdout


def test_keys_that_are_switched_off_can_be_switched_on(written):
    written.write_text(switched_on(SWEEPS))
    suite = load_suite(str(written))
    assert suite.save_models
    assert suite.explainers
    (sweep,) = suite.sweeps
    assert (sweep.label, sweep.trials, sweep.dataset.annotated) == ("main", 5, 100)
    assert sweep.mitigations[-1].units == Units(right_answer="mean", pixel_range=(0, 255), entries=784)
    head = SWEEPS[: SWEEPS.index("# A sweep")]
    written.write_text(head + switched_on(f"#[[counterfactuals]]{COUNTERFACTUALS}"))
    assert len(load_suite(str(written)).keys()) == 9


@pytest.mark.parametrize("model", [Suite, Sweep, MitigationSweep, Units, Training, CounterfactualSweep])
def test_every_key_is_there(model: type[BaseModel]):
    part = COUNTERFACTUALS if model is CounterfactualSweep else SWEEPS
    named = set(re.findall(r"^#?(?:units\.)?(\w+) =", part, re.MULTILINE))
    tables = set(re.findall(r"^#?\[+(?:sweeps\.)?(\w+)\]+", TEXT, re.MULTILINE))
    tables |= set(re.findall(r"^#?(units)\.", part, re.MULTILINE))
    assert set(model.model_fields) <= named | tables


def test_what_must_be_given_is_what_has_no_default():
    (said,) = re.findall(r"Only (.*?) must be given", PAGE, re.DOTALL)
    needed = {name for model in (Suite, Sweep) for name, field in model.model_fields.items() if field.is_required()}
    assert set(re.findall(r"`(\w+)`", said)) == needed - {"name"}  # a suite's name is its file's


def test_a_name_that_is_taken_or_names_no_file_is_refused(written):
    for name, said in (
        ("my_suite", "my_suite.toml exists"),
        ("bench", "is called 'bench' already"),
        ("../bench", "use up to 60 lower-case letters, digits, underscores and hyphens"),
        ("own.toml", "use up to 60 lower-case letters"),
    ):
        result = CliRunner().invoke(app, ["new", "suite", name])
        assert result.exit_code == 2
        assert said in result.stderr
