from __future__ import annotations

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rrrbench.benchmark.running.session as session_module
from mlflow_server import free_port
from rrrbench.benchmark.cli import app, recall
from rrrbench.benchmark.store.frames import IDENTITY
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.store.server import sqlite_path
from rrrbench.datasets import own_code
from typer.testing import CliRunner

SUITE = """
description = "tiny"
seeds = [0, 1]
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = { name = "mlp", hidden = [8] }
training = { epochs = 1, batch_size = 256 }
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.1, 1.0]
"""


@pytest.fixture
def invoke(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    (tmp_path / "own.toml").write_text(SUITE)

    def call(*words: str):
        return CliRunner().invoke(app, list(words), catch_exceptions=False)

    return call


@pytest.mark.long
def test_the_main_job_from_run_to_leaderboard(invoke, tmp_path, monkeypatch):
    first = invoke("run", "own.toml", "--device", "cpu")
    assert first.exit_code == 0, first.output
    assert "decoy-digits" in first.output
    assert "6 of 6 runs recorded" in first.output
    for name in ("own.csv", "own.md", "own.png", "own.pdf"):
        assert (tmp_path / "results/local" / name).stat().st_size > 0

    monkeypatch.setattr(session_module, "Session", lambda *_: pytest.fail("a finished suite needs no session"))
    again = invoke("run", "own.toml", "--device", "cpu")
    assert again.exit_code == 0
    assert again.stdout.strip() in first.stdout

    board = pd.read_csv(io.StringIO(invoke("leaderboard", "own.toml", "--rule", "oracle", "--format", "csv").stdout))
    assert {"dataset", "network", "mitigation", "masks", "rule", "strength", "seeds"} <= set(board.columns)
    assert {"accuracy/random", "accuracy/random:low", "accuracy/random:high", "regret"} <= set(board.columns)
    flat = pd.read_csv(io.StringIO(invoke("records", "own.toml").stdout))
    assert len(flat) == 6
    assert list(flat.columns[: len(IDENTITY)]) == list(IDENTITY)
    invoke("records", "own.toml", "--format", "parquet", "--out", str(tmp_path / "rows.parquet"))
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "rows.parquet")[["run_key", "flip_rate"]], flat[["run_key", "flip_rate"]]
    )


@pytest.mark.slow
def test_mlflow_describes_the_suite_and_summarises_its_sweeps(invoke, uri, tmp_path):
    invoke("run", "own.toml", "--device", "cpu")
    client = Mirror(uri, "own", RecordStore(tmp_path)).client
    experiment = client.get_experiment_by_name("own")
    assert experiment.tags["mlflow.note.content"].startswith("tiny\n")
    columns = json.loads(experiment.tags["mlflow.sharedViewState.runs"])["selectedColumns"]
    (run, *_) = client.search_runs([experiment.experiment_id], "tags.kind = 'run' and params.mitigation = 'rrr'")
    known = [f"params.`{name}`" for name in run.data.params] + [f"metrics.`{name}`" for name in run.data.metrics]
    assert set(columns) <= set(known)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    (parent,) = client.search_runs([experiment.experiment_id], "tags.kind = 'sweep'")
    assert "| rrr" in parent.data.tags["mlflow.note.content"]
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "summary")] == ["summary/over-strength.png"]


@pytest.mark.slow
def test_a_report_from_the_store_and_from_a_file_of_records(invoke, tmp_path):
    invoke("run", "own.toml", "--device", "cpu")
    assert "wrote store/index.html" in invoke("report", "own.toml", "--out", "store").output
    invoke("records", "own.toml", "--format", "parquet", "--out", "own.parquet")
    assert "wrote file/index.html" in invoke("report", "own.parquet", "--out", "file").output
    pages = sorted(path.name for path in (tmp_path / "store/runs").iterdir())
    assert len(pages) == 6
    assert pages == sorted(path.name for path in (tmp_path / "file/runs").iterdir())
    assert (tmp_path / "store/index.html").read_text() == (tmp_path / "file/index.html").read_text()
    (rrr,) = [p for p in (tmp_path / "store/runs").iterdir() if "<h1>rrr, strength 1, seed 0" in p.read_text()]
    text = rrr.read_text()
    assert "torch" in text  # the versions it ran with
    assert 'src="../pictures/' in text
    assert 'src="../pictures/' in (tmp_path / "file/runs" / rrr.name).read_text(), (
        "the records carry what a picture needs"
    )
    assert "Test input" in text or "no prediction flips" in text


@pytest.mark.slow
def test_the_last_table_is_forgotten_when_anything_differs(invoke, tmp_path, uri):
    home = tmp_path / "results/local"
    invoke("run", "own.toml", "--device", "cpu")
    printed = recall.table("own.toml", home, uri, "knee")
    assert "6 of 6 runs recorded" in printed
    assert recall.table("own.toml", home, uri, "oracle") is None
    assert recall.table("own.toml", home, "sqlite:///other.db", "knee") is None
    (note,) = (home / "tables").iterdir()
    content = note.read_bytes()
    for damaged in (b"", b"{}", b"[]", b"null", content[:-10], b"\xff"):
        note.write_bytes(damaged)
        assert recall.table("own.toml", home, uri, "knee") is None
    note.write_bytes(content)
    assert recall.table("own.toml", home, uri, "knee") == printed
    board = (home / "own.csv").read_bytes()
    (home / "own.csv").unlink()
    assert recall.table("own.toml", home, uri, "knee") is None
    assert "6 of 6" in invoke("run", "own.toml", "--device", "cpu").stdout
    assert (home / "own.csv").read_bytes() == board
    assert recall.table("own.toml", home, uri, "knee") == printed
    os.utime(sqlite_path(uri))  # somebody changed something in MLflow
    assert recall.table("own.toml", home, uri, "knee") is None
    assert "6 of 6" in invoke("run", "own.toml", "--device", "cpu").stdout
    record = next(home.glob("records/*/*.json"))
    record.write_bytes(record.read_bytes()[:50])
    assert recall.table("own.toml", home, uri, "knee") is None
    again = invoke("run", "own.toml", "--device", "cpu")
    assert (again.exit_code, "6 of 6 runs recorded" in again.stdout) == (0, True)


@pytest.mark.slow
def test_a_replaced_file_is_an_error_and_not_the_table_of_the_older_file(invoke, tmp_path, uri):
    def write(seed):
        draws, labels = np.random.default_rng(seed), np.arange(40) % 4
        images = {f"x_{part}": draws.integers(0, 256, (40, 8, 8), np.uint8) for part in ("train", "test")}
        np.savez(tmp_path / "mine.npz", **images, y_train=labels, y_test=labels)

    suite = SUITE.replace("digits", "npz:mine.npz").replace("256", "16").replace("[0, 1]", "[0]")
    (tmp_path / "own.toml").write_text(suite)
    write(seed=0)
    first = invoke("run", "own.toml", "--device", "cpu")
    assert "3 of 3 runs recorded" in first.stdout
    assert recall.table("own.toml", tmp_path / "results/local", uri, "knee")
    write(seed=1)
    assert recall.table("own.toml", tmp_path / "results/local", uri, "knee") is None
    second = invoke("run", "own.toml", "--device", "cpu")
    assert (second.exit_code, second.stdout) == (2, "")
    assert "mine.npz: the content has changed since finished runs were trained on it" in second.stderr
    write(seed=0)
    third = invoke("run", "own.toml", "--device", "cpu")
    assert "3 of 3 runs recorded" in third.stdout
    (tmp_path / "mine.npz").unlink()
    assert recall.table("own.toml", tmp_path / "results/local", uri, "knee") is None


OWN = """
from torch import nn
def build(features, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(features[1] * features[2], 4), nn.ReLU(), nn.Linear(4, classes))
"""


@pytest.mark.slow
def test_code_comes_from_the_command_line_alone_and_the_last_table_is_of_that_code(invoke, tmp_path, uri):
    suite = SUITE.replace('{ name = "mlp", hidden = [8] }', '{ name = "module", build = "my_cli_net:build" }')
    (tmp_path / "own.toml").write_text(suite.replace("[0, 1]", "[0]"))
    (tmp_path / "my_cli_net.py").write_text(OWN)
    path = Path("my_cli_net.py")
    with own_code.temporary():
        refused = invoke("run", "own.toml", "--device", "cpu")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "add --with my_cli_net.py to the command" in refused.stderr
        first = invoke("run", "own.toml", "--device", "cpu", "--with", "my_cli_net.py")
        assert "3 of 3 runs recorded" in first.stdout
        assert "earlier" not in first.stderr
        home = tmp_path / "results/local"
        assert recall.table("own.toml", home, uri, "knee", [path])
        assert recall.table("own.toml", home, uri, "knee") is None
        assert "my_cli_net:build@" in invoke("records", "own.toml", "--with", "my_cli_net.py").stdout
        assert "erm" in invoke("leaderboard", "own.toml", "--with", "my_cli_net.py").stdout
        path.write_text(OWN + "# changed")
        assert recall.table("own.toml", home, uri, "knee", [path]) is None
        second = invoke("run", "own.toml", "--device", "cpu", "--with", "my_cli_net.py")
        assert "3 of 3 runs recorded" in second.stdout
        assert "3 finished runs are of an earlier content of the weights' file or of --with" in second.stderr


@pytest.mark.parametrize(("words", "message"), [
    (("nowhere.py",), "there is no file nowhere.py"),
    (("own.toml",), "own.toml is not a Python file"),
])  # fmt: skip
def test_a_file_of_the_users_that_cannot_be_loaded_is_one_message(invoke, words, message):
    result = invoke("run", "own.toml", "--with", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


READS = """
import sys
from rrrbench.benchmark.cli import app
try:
    app(sys.argv[1:])
finally:
    assert "mlflow" not in sys.modules, "MLflow was imported"
"""


@pytest.mark.slow
def test_what_reads_records_does_not_import_mlflow(invoke, tmp_path):
    invoke("run", "own.toml", "--device", "cpu")
    for note in (tmp_path / "results/local/tables").iterdir():
        note.unlink()
    for words in ("records own.toml", "leaderboard own.toml", "leaderboard own.toml --format md --rule oracle",
                  "report own.toml --out pages"):  # fmt: skip
        command = [sys.executable, "-c", READS, *words.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)


@pytest.mark.slow
def test_records_are_found_from_a_folder_below_and_where_was_looked_is_said(invoke, tmp_path, monkeypatch):
    invoke("run", "own.toml", "--device", "cpu")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert len(pd.read_csv(io.StringIO(invoke("records", "../own.toml").stdout))) == 6
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "elsewhere"))
    nothing = invoke("leaderboard", "../own.toml")
    assert nothing.exit_code == 2
    assert f"no run of suite 'own' is in {tmp_path / 'elsewhere'}" in nothing.output.replace("\n", "")


@pytest.mark.slow
@pytest.mark.faults
def test_log_delivers_what_a_server_lacks(invoke, tmp_path, monkeypatch):
    assert "no run of suite 'own' is in" in invoke("log", "own.toml").output
    with monkeypatch.context() as away:
        away.setenv("MLFLOW_TRACKING_URI", "http://u:s3cret@127.0.0.1:9")
        result = invoke("run", "own.toml", "--device", "cpu")
    assert result.exit_code == 1
    assert "6 of 6 runs recorded" in result.stdout
    assert "6 records of own.toml are not in MLflow" in result.output
    assert "s3cret" not in result.output
    delivered = invoke("log", "own.toml")
    assert (delivered.exit_code, "6 records of own are in sqlite" in delivered.output) == (0, True)
    elsewhere = invoke("log", "own.toml", "--to", f"sqlite:///{tmp_path / 'elsewhere.db'}")
    assert elsewhere.exit_code == 0
    for database in ("mlflow.db", "elsewhere.db"):
        mirror = Mirror(f"sqlite:///{tmp_path / database}", "own", RecordStore(tmp_path))
        assert len(mirror.search("tags.kind = 'run'")) == 6
        (sweep,) = mirror.search("tags.kind = 'sweep'")
        assert "| rrr" in sweep.data.tags["mlflow.note.content"]


def test_list_shows_everything_that_can_be_named(invoke):
    output = invoke("list").output
    for name in ("bench", "decoy-mnist", "toy-colors", "mlp", "rrr", "input_gradient", "flip_rate", "processes"):
        assert any(line.startswith(f"{name} ") for line in output.splitlines())


def test_list_mitigations_shows_paper_needs_and_stages(invoke):
    lines = invoke("list", "mitigations").output.splitlines()
    assert lines[1].split() == ["name", "paper", "needs", "stages", "published", "strength", "what", "it", "does"]
    (gain,) = [line for line in lines if line.startswith("gain ")]
    assert " 10 " in gain
    (rrr,) = [line for line in lines if line.startswith("rrr ")]
    assert rrr.split("  ")[0] == "rrr"
    assert "Ross et al. 2017" in rrr
    assert "masks" in rrr
    for name, stages in (("rrr", "1"), ("jtt", "2"), ("dfr", "2")):
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert re.split(r" {2,}", line)[3] == stages
    assert not any(line.startswith("decoy") for line in lines)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "benhc"), "did you mean bench"),
        (("run", "nosuch"), "give the path of a TOML file, or a name; known: bench, colored-patch-cifar"),
        (("leaderboard", "own.toml"), "no run of suite 'own'"),
        (("records", "own.toml", "--format", "parquet"), "say where to with --out FILE"),
        (("log", "own.toml"), "no run of suite 'own'"),
        (("run", "own.toml", "--rule", "best"), "best"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(invoke, words, message):
    result = invoke(*words)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_a_dry_run_says_what_would_be_done_and_does_nothing(invoke, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module.Session, "run", lambda self: pytest.fail("it trains"))
    result = invoke("run", "own.toml", "--device", "cpu", "--dry-run")
    assert result.exit_code == 0
    first, takes, where = result.stdout.splitlines()
    assert first == "own: 6 runs: 0 finished, 6 to train"
    assert re.fullmatch(r"  takes about \d+ (seconds|minutes)", takes)
    assert where.startswith(f"  written to {tmp_path / 'results/local'}, shown in sqlite:///")
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_log_has_the_forecast_and_no_carriage_return_and_quiet_says_nothing(invoke, tmp_path):
    told = invoke("run", "own.toml", "--device", "cpu")
    assert "own: 6 runs: 0 finished, 6 to train" in told.stderr
    assert "\r" not in told.stderr
    (tmp_path / "more.toml").write_text(SUITE.replace("epochs = 1", "epochs = 2"))
    quiet = invoke("run", "more.toml", "--device", "cpu", "--quiet")
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    assert "6 of 6 runs recorded" in quiet.stdout


@pytest.mark.slow
def test_records_and_leaderboard_as_json(invoke):
    invoke("run", "own.toml", "--device", "cpu", "--quiet")
    rows = json.loads(invoke("records", "own.toml", "--json").stdout)
    flat = pd.read_csv(io.StringIO(invoke("records", "own.toml").stdout))
    assert [row["run_key"] for row in rows] == list(flat["run_key"])
    assert rows[0]["accuracy/random"] == pytest.approx(flat["accuracy/random"][0])
    board = json.loads(invoke("leaderboard", "own.toml", "--json").stdout)
    assert {row["mitigation"] for row in board} == {"erm", "rrr"}


def test_list_suites_says_data_runs_and_minutes(invoke, monkeypatch, tmp_path):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    listed = {row["name"]: row for row in json.loads(invoke("list", "suites", "--json").stdout)["suites"]}
    assert (listed["bench"]["data"], listed["bench"]["runs"]) == ("-", 130)
    assert listed["decoy-mnist"]["data"] == "mnist (missing)"
    timed = {name for name, row in listed.items() if row["minutes on 2 cores"] is not None}
    assert {"bench", "smoke", "decoy-mnist", "mitigations-quick"} <= timed


def test_list_suites_says_which_were_not_measured_and_how_to_know(invoke):
    lines = invoke("list", "suites").stdout.splitlines()
    rows = {line.split()[0]: line for line in lines if line}
    assert re.search(r" 1320 +not measured +Repair: ", rows["repair"])
    assert "not measured" not in rows["bench"]
    assert lines[-2].startswith("not measured: `rrrbench run NAME --dry-run` says about how long")
    assert "not measured" not in invoke("list", "metrics").stdout


def test_version_and_completion(invoke):
    assert re.fullmatch(r"rrrbench \d+\.\d+\.\d+\n", invoke("--version").stdout)
    assert "--install-completion" in invoke("--help").stdout


@pytest.mark.slow
@pytest.mark.faults
def test_a_second_ctrl_c_ends_at_once_without_a_traceback(invoke, tmp_path):
    command = [Path(sys.executable).parent / "rrrbench", "run", "own.toml", "--device", "cpu"]
    (tmp_path / "own.toml").write_text(SUITE.replace("epochs = 1", "epochs = 10000"))
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        while "so far" not in (line := driver.stderr.readline()):
            assert line, "it ended before it trained"
        driver.send_signal(signal.SIGINT)
        driver.send_signal(signal.SIGINT)
        rest = driver.stderr.read()
    assert driver.returncode == 130
    assert "Traceback" not in rest
    assert "every finished run is kept" in rest or "the same command goes on from there" in rest


def test_ctrl_c_says_how_to_go_on(invoke, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(session_module.Session, "run", interrupted)
    result = invoke("run", "own.toml", "--device", "cpu")
    assert result.exit_code == 130
    assert "0 of 6 runs are recorded; the same command goes on from there" in result.output


@pytest.mark.slow
def test_a_failed_run_makes_the_command_fail_and_is_named(invoke, monkeypatch):
    from rrrbench.methods.mitigations.rrr import RRR

    monkeypatch.setattr(RRR, "terms", lambda *_: (_ for _ in ()).throw(RuntimeError("planted")))
    result = invoke("run", "own.toml", "--device", "cpu")
    assert result.exit_code == 1
    assert "failed: decoy-digits mlp[hidden=[8]] rrr strength 0.1 seed 0: RuntimeError: planted" in result.output


PUBLISHED = """paper,source,dataset,network,method,condition,metric,value,spread,seeds,provenance,note,sweep,mitigation,strength,masks
own,table 1,Decoy-digits,MLP,RRR,strength 1,accuracy/random,1,,1,read,,main,rrr,1,true
own,table 1,Decoy-digits,MLP,none,,accuracy/train,0.5,,1,recalled,,main,erm,,true
own,table 2,Elsewhere,MLP,RRR,,accuracy/random,0.5,,1,read,,,,,true
"""  # noqa: E501


@pytest.mark.slow
def test_reproduce_does_what_it_can_says_what_is_left_and_goes_on(invoke, tmp_path, monkeypatch):
    from rrrbench.benchmark import suites
    from rrrbench.benchmark.ranking import published

    (tmp_path / "reproduce").mkdir()
    labelled = SUITE.replace("[[sweeps]]", '[[sweeps]]\nlabel = "main"')
    elsewhere = labelled.split("[[sweeps]]")[1].replace("main", "elsewhere").replace("digits", "npz:none.npz")
    (tmp_path / "reproduce/own.toml").write_text(f"{labelled}[[sweeps]]{elsewhere}")
    (tmp_path / "own.csv").write_text(PUBLISHED)
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    monkeypatch.setattr(published, "PUBLISHED", tmp_path)

    dry = invoke("reproduce", "own", "--device", "cpu", "--dry-run")
    assert re.search(r"^own: \d+ runs: 0 finished, \d+ to train$", dry.stdout, re.MULTILINE)
    assert not (tmp_path / "results").exists()
    none = invoke("reproduce", "own", "--device", "cpu", "--max-minutes", "0")
    assert none.exit_code == 0, none.output
    assert "not run: elsewhere: npz:none.npz is missing" in none.output
    assert "runs are left in main:" in none.output  # what has no data is not promised
    assert "3 not run" in none.output

    one = invoke("reproduce", "own", "--device", "cpu", "--seeds", "1")
    assert "3 of 6 runs recorded" in one.output  # those of `elsewhere` have no data
    assert "but on 1 seed only" in one.output
    table = pd.read_csv(tmp_path / "results/reproduced/own.csv")
    assert list(table["n"]) == [1, 1, 0]
    assert list(table["verdict"])[1:] == ["recalled", "not run"]
    flat = pd.read_csv(io.StringIO(invoke("records", "reproduce/own").stdout)).set_index(["mitigation", "strength"])
    assert table["measured"][0] == flat.loc[("rrr", 1.0), "accuracy/random"]
    assert table["measured"][1] == flat.loc[("erm", 0.0), "accuracy/train"]
    page = (tmp_path / "results/reproduced/own.md").read_text()
    assert "reproduce own" in page
    assert "*recalled*" in page
    assert "torch 2" in page
    assert "Of 6 runs 3 are recorded" in page

    invoke("reproduce", "own", "--device", "cpu")
    assert list(pd.read_csv(tmp_path / "results/reproduced/own.csv")["n"]) == [2, 2, 0]
    part = invoke("reproduce", "own", "--device", "cpu", "--seeds", "1")
    assert "own-part.csv" in part.output  # and the fuller table stays
    assert list(pd.read_csv(tmp_path / "results/reproduced/own-part.csv")["n"]) == [1, 1, 0]
    assert list(pd.read_csv(tmp_path / "results/reproduced/own.csv")["n"]) == [2, 2, 0]
    only = invoke("reproduce", "own", "--device", "cpu", "--only", "main/rrr/1")
    assert only.exit_code == 0, only.output
    assert "2 of 2 runs recorded" in only.stdout
    assert "wrote" not in only.stdout
    assert invoke("reproduce", "owwn").exit_code == 2
    assert "main/rrr/1" in invoke("reproduce", "own", "--only", "main/rr/1").stderr

    uri = os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    away = invoke("reproduce", "own", "--device", "cpu")
    assert (away.exit_code, printed_command(away.stderr)) == (1, ["log", "reproduce/own"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert invoke(*printed_command(away.stderr)).exit_code == 0


def printed_command(text: str) -> list[str]:
    """The words of the one `rrrbench …` command that a message names."""
    (command,) = re.findall(r"`rrrbench ([^`]+)`", text)
    return shlex.split(command)


@pytest.mark.parametrize("suite", ["own.toml", "./own.toml", "my own's.toml"])
@pytest.mark.slow
def test_the_command_that_makes_missing_runs_works_as_it_is_printed(invoke, tmp_path, suite):
    named = suite if suite == "./own.toml" else str(tmp_path / suite)
    (tmp_path / suite).write_text('name = "other"\n' + SUITE.replace("seeds = [0, 1]", "seeds = [0]"))
    asked = [("leaderboard",), ("log",), ("records",), ("records", "--format", "parquet", "--out", "r.parquet")]
    refusals = [invoke(*words[:1], named, *words[1:]) for words in [*asked, ("report", "--out", "pages")]]
    assert {refused.exit_code for refused in refusals} == {2}
    commands = [printed_command(refused.stderr) for refused in refusals]
    assert commands == [["run", named]] * 5
    assert invoke(*commands[0]).exit_code == 0
    assert invoke("leaderboard", named).exit_code == 0


def test_a_suite_of_rrrbench_in_a_folder_is_named_with_its_folder(invoke):
    for command in ("leaderboard", "log", "records"):
        assert printed_command(invoke(command, "reproduce/friedrich2023").stderr) == ["run", "reproduce/friedrich2023"]


@pytest.mark.slow
def test_the_command_that_delivers_works_as_it_is_printed(invoke, uri, tmp_path, monkeypatch):
    suite = "my own.toml"
    (tmp_path / suite).write_text(SUITE.replace("seeds = [0, 1]", "seeds = [0]"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    run = invoke("run", suite)
    assert (run.exit_code, printed_command(run.stderr)) == (1, ["log", suite])
    elsewhere = invoke("log", suite, "--to", "http://127.0.0.1:1")
    assert elsewhere.exit_code == 1
    assert "the same command delivers them" in elsewhere.stderr, "without --to it delivers to another server"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    delivered = invoke(*printed_command(run.stderr))
    assert delivered.exit_code == 0
    assert "3 records" in delivered.stdout


@pytest.mark.parametrize("kind", ["garbage", "folder"])
@pytest.mark.slow
def test_moving_away_a_database_that_does_not_read_delivers_as_is_printed(invoke, tmp_path, monkeypatch, kind):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (tmp_path / "own.toml").write_text(SUITE.replace("seeds = [0, 1]", "seeds = [0]"))
    database = tmp_path / "results/local/mlflow.db"
    (database if kind == "folder" else database.parent).mkdir(parents=True)
    if kind == "garbage":
        database.write_bytes(b"garbage" * 1000)
    run = invoke("run", "own.toml")
    assert run.exit_code == 1
    assert "3 of 3 runs recorded" in run.stdout
    assert str(database) in run.stderr
    assert "move it away first" in run.stderr
    database.rename(tmp_path / "away.db")
    command = [
        Path(sys.executable).parent / "rrrbench",
        *printed_command(run.stderr),
    ]  # MLflow keeps the file open here
    delivered = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert delivered.returncode == 0, delivered.stderr
    assert "3 records" in delivered.stdout
