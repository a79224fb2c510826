"""A mitigation from outside the tree: held to the laws, measured, and made a row; what cannot be is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.conformance import file_laws, measuring, submission
from rrrbench.benchmark.conformance.file_laws import Contents, Entry
from rrrbench.benchmark.metrics.base import metrics
from rrrbench.benchmark.suite.protocol import PROTOCOL_VERSION
from rrrbench.datasets import own_code
from rrrbench.datasets.own_code import Refused
from rrrbench.methods.base import mitigations
from tiny import tiny_suite
from typer.testing import CliRunner

SAMPLE = Path(__file__).parents[2] / "submission/clipped_input_gradient.py"


@pytest.fixture(autouse=True)
def registry():
    """What a file registers is forgotten afterwards."""
    with mitigations.temporary(), own_code.temporary():
        yield


@pytest.fixture
def sample(tmp_path):
    return Path(shutil.copy(SAMPLE, tmp_path))


@pytest.fixture
def invoke(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


def a_row(**changes) -> submission.Row:
    measured = {"flip_rate": 0.3, "accuracy/random": 0.9, "accuracy/random:low": 0.88, "accuracy/random:high": 0.92}
    row = {
        "protocol": PROTOCOL_VERSION,
        "mitigation": "m",
        "needs": "masks",
        "sha256": "0",
        "strengths": (1.0,),
        "results": [{"dataset": "d", **measured}],
    }
    return submission.Row(**{**row, **changes})


def with_accuracy(value: float) -> submission.Row:
    return a_row(results=[{**a_row().results[0], "accuracy/random": value}])


MORE = """
from rrrbench.benchmark.metrics.base import Metric, metrics

@metrics.measured_by(Metric("own_score", "higher", 0, 1, "none", "A score."))
def own_score(evaluated):
    return {"own_score": 1.0}
"""


def as_l2(path: Path) -> Contents:
    """The file, as if it registered l2."""
    return Contents(path, sys, [Entry("mitigation", mitigations.resolve("l2"), {})])


def test_a_file_with_one_mitigation_is_a_submission(sample):
    submitted = submission.load(sample)
    assert submitted.mitigation.id == "clipped_input_gradient"
    assert submitted.strengths == (0.001, 0.01, 0.1, 1.0, 10.0)
    assert submitted.row_path == sample.with_suffix(".json")


def test_it_is_measured_as_the_quick_suite_measures_and_with_wrong_masks(sample):
    suite = submission.load(sample).suite()
    stacks = suite.stacks()
    assert {stack.dataset.masks for stack in stacks} == {"true", "wrong"}
    assert {stack.mitigation.name for stack in stacks} == {"erm", "rrr", "clipped_input_gradient"}
    assert {stack.mitigation.name for stack in stacks if stack.dataset.masks == "wrong"} == {"clipped_input_gradient"}
    erm = submission.load_suite(submission.LIKE).stacks()[0]
    assert erm.mitigation.name == "erm"
    assert set(erm.places()) <= set(suite.keys())  # the same runs, so they are comparable and trained once


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)", "STRENGTHS = (1, 2, 3, 4, 5, 6)", "6 STRENGTHS: the budget"),
        ("STRENGTHS =", "OTHERS =", "0 STRENGTHS: the budget"),
        ("@mitigations.register", "", "registers 0 mitigations"),
    ],
)
def test_what_is_no_submission_is_refused_with_the_reason(sample, old, new, reason):
    sample.write_text(sample.read_text().replace(old, new))
    with pytest.raises(Refused, match=reason):
        submission.load(sample)


def test_a_row_of_another_protocol_is_refused(tmp_path):
    path = tmp_path / "row.json"
    path.write_text(a_row(protocol="0.9").model_dump_json())
    with pytest.raises(Refused, match=rf"protocol 0\.9, and this is {PROTOCOL_VERSION}: rows of two protocols"):
        submission.Row.read(path)
    path.write_text(a_row().model_dump_json())
    assert submission.Row.read(path) == a_row()


def test_a_row_is_repeated_where_every_number_is_within_a_point():
    submission.compare(a_row(), with_accuracy(0.909))
    for value in (0.915, 0.93, 0.88):  # inside the recorded interval, which proves nothing
        with pytest.raises(Refused, match=rf"d: accuracy/random is {value:.3f} here, and recorded as 0\.900"):
            submission.compare(a_row(), with_accuracy(value))
    with pytest.raises(Refused, match="file has changed"):
        submission.compare(a_row(), a_row(sha256="1"))


@pytest.mark.slow
def test_a_broken_law_ends_the_check_before_anything_is_trained(sample, invoke, monkeypatch):
    sample.write_text(sample.read_text().replace("strength * right_reason)", "right_reason)"))
    result = invoke("submit", "check", sample.name)
    assert result.exit_code == 2
    assert "broken  1 strength 0 is ERM" in result.output
    assert result.stdout == invoke("check", sample.name).stdout
    assert "nothing was trained" in result.output
    assert not (sample.parent / "results").exists()


@pytest.mark.slow
def test_the_row_is_written_and_then_repeated(sample, invoke, monkeypatch):
    homes = []

    def measure(path, home, *_, **__):
        homes.append(home)
        return submission.load(path).measured(home)

    monkeypatch.setattr(measuring, "measure", measure)
    own = [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1]}, {"mitigation": "l2", "strengths": [0.1]}]
    suite = tiny_suite("submission", mitigations=own)
    monkeypatch.setattr(submission.Submission, "suite", lambda self: suite)
    monkeypatch.setattr(
        submission, "load", lambda path: submission.Submission(as_l2(path), mitigations.resolve("l2"), (0.1,))
    )
    first = invoke("submit", "check", sample.name).stdout
    assert "wrote clipped_input_gradient.json" in first
    rows = [
        line.split()[0] for line in first.splitlines() if line.split()[:1] and line.split()[0] in ("erm", "l2", "rrr")
    ]
    assert rows == ["erm", "l2", "rrr"]
    row = json.loads(sample.with_suffix(".json").read_text())
    assert row["protocol"] == PROTOCOL_VERSION
    assert row["results"][0]["accuracy/random:low"] <= row["results"][0]["accuracy/random"]
    assert not any(name.startswith("seconds") for name in row["results"][0])
    assert "is repeated here" in invoke("submit", "check", sample.name).output
    assert "is repeated here" in invoke("submit", "check", sample.with_suffix(".json").name).output
    assert homes[1] != homes[0], "finished runs that came with the row would be taken for this machine's"
    row["results"][0]["flip_rate"] = 0.0 if row["results"][0]["flip_rate"] > 0.1 else 0.9
    sample.with_suffix(".json").write_text(json.dumps(row))
    forged = invoke("submit", "check", sample.name)
    assert (forged.exit_code, "flip_rate is" in forged.output) == (2, True)


@pytest.mark.slow
def test_a_third_partys_mitigation_goes_through_submit_check(sample, invoke):
    result = invoke("submit", "check", sample.name)
    assert result.exit_code == 0, result.output
    assert "broken" not in result.output
    results = submission.Row.read(sample.with_suffix(".json")).results
    assert len(results) == 2
    assert results[0]["accuracy/random"] > 0.85  # ERM has 0.78


def test_new_writes_a_mitigation_that_can_be_submitted(invoke, tmp_path):
    assert invoke("new", "mitigation", "my_own").exit_code == 0
    assert submission.load(tmp_path / "my_own.py").mitigation.id == "my_own"
    assert "already" in invoke("new", "mitigation", "rrr").output
    assert "lower-case" in invoke("new", "mitigation", "My-Own").output
    assert "already" in invoke("new", "mitigation", "my_own").output


def test_new_writes_a_dataset_whose_twins_differ_inside_the_mask_alone(invoke, tmp_path):
    from rrrbench.datasets.recipe import datasets

    assert invoke("new", "dataset", "my_data").exit_code == 0
    namespace: dict = {"__name__": "my_data"}
    with datasets.temporary():
        exec(compile((tmp_path / "my_data.py").read_text(), "my_data.py", "exec"), namespace)
    dataset = namespace["MyData"](inputs=40).make(0)
    aligned, clean = dataset.test("aligned"), dataset.test("clean")
    assert not ((aligned.inputs != clean.inputs) & ~aligned.masks).any()
    assert (aligned.inputs != clean.inputs).any()


@pytest.mark.slow
def test_submit_check_begins_as_check_does(sample, tmp_path, monkeypatch):
    """The same laws of the same things in the same order, then the row; also where the file registers more."""
    sample.write_text(sample.read_text() + MORE)
    events = tmp_path / "events"
    monkeypatch.setattr(submission.Submission, "measured", lambda *_: submission.Measured(a_row(), []))
    expected = [list(law) for law in file_laws.checked(sample)]
    with metrics.temporary():
        measuring._check(sample, events, tmp_path, measuring.How())
    told = map(json.loads, events.read_text().splitlines())
    *laws, row = (event for event in told if "begun" not in event)
    assert [event["checked"] for event in laws] == expected
    assert {kind for kind, *_ in expected} == {"mitigation", "metric"}
    assert row["row"]["mitigation"] == "m"


def test_an_edited_file_is_measured_anew(sample):
    with own_code.temporary(), mitigations.temporary():
        first = set(submission.load(sample).suite().keys())
    sample.write_text(sample.read_text() + "# another way\n")
    second = set(submission.load(sample).suite().keys())
    assert first != second
    assert first & second, "the runs of ERM and RRR are the same"


def test_submit_check_is_told_where_to_train_and_says_what_it_costs(sample, invoke, monkeypatch):
    asked = []

    def measure(path, home, minutes, tell, env=None, how=None, announce=None):
        asked.append(how)
        announce(["submission: 110 runs: 0 finished, 110 to train", "  takes about 4 minutes"], ["0" * 64] * 110)
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", measure)
    result = invoke("submit", "check", sample.name, "--device", "cpu", "--executor", "processes", "--workers", "2")
    assert asked == [measuring.How("cpu", {"name": "processes", "workers": 2})]
    assert "takes about 4 minutes" in result.stderr
    assert "interrupted: 0 of 110 runs are recorded; the same command goes on from there" in result.stderr
    assert result.exit_code == 130


@pytest.mark.slow
def test_submit_check_says_what_it_costs_before_its_training_shows_progress(sample, uri, tmp_path):
    command = [Path(sys.executable).parent / "rrrbench", "submit", "check", sample.name]
    environment = {**os.environ, "RRRBENCH_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": uri}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, **pipes) as check:
        try:
            before = list(takewhile(lambda line: "so far" not in line, check.stderr))
        finally:
            check.send_signal(signal.SIGINT)
    assert any("to train" in line for line in before), "".join(before)
    assert any("takes about" in line for line in before), "".join(before)
