"""A Python session has what the command line has: the same runs, the same errors, and tables as DataFrames."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
import rrrbench as rb
from rrrbench.benchmark import api
from rrrbench.benchmark.suite.loading import BadSuite, load_suite
from rrrbench.datasets.registry import UnknownName
from torch import nn

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"
SUITE = """
seeds = [0, 1]
[[sweeps]]
dataset = { name = "decoy", base = "digits" }
network = "mlp"
training = { epochs = 2 }
mitigations = [{ mitigation = "erm" }, { mitigation = "rrr", strengths = [0.1, 1.0] }]
"""


SCRIPT = """
import rrrbench as rb

print("once")
runs = rb.sweep(
    "decoy-digits", "mlp", ["erm", ("rrr", [1.0])], seeds=1, training={"epochs": 1}, executor="processes", log=False
)
runs.report("site")
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def small(**changed):
    given = {"network": "mlp", "mitigations": ["erm", ("rrr", [0.1, 1.0])], "seeds": 2, "training": {"epochs": 2}}
    return rb.sweep("decoy-digits", **(given | {"log": False} | changed))


@pytest.mark.slow
def test_a_sweep_is_the_suite_with_the_same_content(home, tmp_path):
    runs = small()
    (tmp_path / "mine.toml").write_text(SUITE)
    assert set(runs.suite.keys()) == set(load_suite(str(tmp_path / "mine.toml")).keys())
    assert len(runs.records) == 6
    board = runs.leaderboard("val_iid")
    assert isinstance(board, pd.DataFrame)
    assert sorted(board["mitigation"]) == ["erm", "rrr"]
    assert "rrr" in str(runs)
    assert "<pre>" in runs._repr_html_()
    assert runs.figure().axes
    index = runs.report(tmp_path / "pages")
    assert index.is_file()
    assert "rrr" in index.read_text()


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(monkeypatch):
    from rrrbench.benchmark.engine.trainer import Trainer

    small()
    monkeypatch.setattr(Trainer, "train", lambda *given, **options: pytest.fail("trains again"))
    assert len(small().records) == 6


@pytest.mark.slow
def test_no_global_state_is_left(home):
    before, backend = dict(os.environ), matplotlib.get_backend()
    small(log=True, training={"epochs": 1}, seeds=1)
    assert dict(os.environ) == before
    assert matplotlib.get_backend() == backend
    assert (home / "mlflow.db").is_file()


@pytest.mark.long
def test_nothing_is_logged_if_it_is_not_wanted(home):
    small(seeds=1)
    assert not (home / "mlflow.db").exists()


def test_strengths_are_the_usual_if_none_are_given():
    given = [api._mitigation(one) for one in ("erm", "rrr", ("rrr", [1.0]), {"mitigation": "l2", "strengths": [0.5]})]
    assert given == [
        {"mitigation": "erm"},
        {"mitigation": "rrr", "strengths": api.STRENGTHS},
        {"mitigation": "rrr", "strengths": [1.0]},
        {"mitigation": "l2", "strengths": [0.5]},
    ]


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"mitigations": [("rrr", [-1.0])]}, BadSuite, "rrrbench.sweep: .*strengths"),
        ({"mitigations": ["rrrr"]}, UnknownName, "no mitigation is called 'rrrr'; did you mean"),
        ({"mitigations": []}, BadSuite, "mitigations"),
        ({"training": {"epoch": 3}}, BadSuite, "'epoch'.*|epoch"),
        ({"training": {"epochs": True}}, BadSuite, "write 1"),
        ({"seeds": 0}, BadSuite, "seeds"),
        ({"seeds": [-1]}, BadSuite, "seeds"),
        ({"executor": "cloud"}, UnknownName, "no executor is called 'cloud'"),
        ({"controls": [-1]}, BadSuite, "controls"),
        ({"name": "../x"}, BadSuite, "name"),
    ],
)
def test_errors_are_those_of_a_suite_s_file(changed, error, said):
    with pytest.raises(error, match=said):
        small(**changed)


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"mitigations": [7]}, TypeError, "mitigation 7: give a name"),
        ({"mitigations": [("rrr", 0.1)]}, TypeError, r"mitigation \('rrr', 0.1\): give a name, \(name, strengths\)"),
        ({"mitigations": "rrr"}, TypeError, r"mitigations = 'rrr' is a text: give a list, \['rrr'\]"),
        ({"mitigations": None}, TypeError, r"mitigations = None is no list: give a list, such as \['erm'"),
        ({"mitigations": {"mitigation": "erm"}}, TypeError, "mitigations = {'mitigation': 'erm'} is no list"),
        ({"seeds": 1.5}, TypeError, r"seeds = 1.5: give how many, such as 5, or a list of them, such as \[0, 1, 2\]"),
        ({"seeds": "3"}, TypeError, "seeds = '3': give how many"),
        ({"seeds": True}, TypeError, "seeds = True: give how many"),
        ({"devise": "cpu"}, TypeError, r"sweep\(..., devise='cpu'\): no such argument; did you mean device"),
        ({"network": nn.Linear(2, 2)}, TypeError, "network = Linear: every run trains a network of its own.*my_net.*"),
        ({"network": nn.Linear}, TypeError, "network = Linear: .*is judged by rrrbench.evaluate"),
        ({"training": "fast"}, TypeError, "training = 'fast': give a dict of settings, such as {'epochs': 20}"),
        ({"controls": "wrong"}, TypeError, r"controls = 'wrong' is a text: give a list, \['wrong'\]"),
        ({"controls": 25}, TypeError, "controls = 25 is no list"),
        ({"own": 3}, TypeError, "own = 3: give the path of a Python file"),
        ({"own": "no_such_net.py"}, FileNotFoundError, "there is no file no_such_net.py"),
        ({"device": "tpu"}, ValueError, "device 'tpu' is not known"),
        ({"controls": ["blurred"]}, BadSuite, "controls"),
    ],
)
def test_values_of_another_type_are_named_too(changed, error, said, shapes_unchecked):
    with pytest.raises(error, match=said):
        small(**changed)


def test_a_run_names_what_it_cannot_take(shapes_unchecked):
    with pytest.raises(TypeError, match=r"run\(..., devise='cpu'\): no such argument; did you mean device"):
        rb.run("bench", devise="cpu")
    with pytest.raises(TypeError, match="suite = 3: give a suite's name, such as 'bench', or the path"):
        rb.run(3)


@pytest.mark.parametrize("dataset", [3, None, nn.Linear(2, 2)])
def test_what_is_no_dataset_is_named(dataset, shapes_unchecked):
    with pytest.raises(BadSuite, match=r"dataset = .*neither a name nor a table"):
        rb.sweep(dataset, log=False)


def test_a_dataset_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match=r"no dataset is called 'decoyy'; did you mean decoy.*no folder"):
        rb.sweep("decoyy")
    with pytest.raises(UnknownName, match="there is no suite 'nosuch'"):
        rb.run("nosuch")


@pytest.mark.slow
def test_a_script_without_a_main_guard_runs_once(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("once") == 1
    assert (tmp_path / "site" / "index.html").is_file()


@pytest.mark.long
def test_a_failed_run_is_warned_of(monkeypatch):
    from rrrbench.methods.mitigations.rrr import RRR

    def raises(*given):
        raise RuntimeError("no luck today")

    monkeypatch.setattr(RRR, "terms", raises)
    with pytest.warns(UserWarning, match="rrr at 1, seed 0, failed: RuntimeError: no luck today"):
        runs = small(mitigations=["erm", ("rrr", [1.0])], seeds=1, training={"epochs": 1})
    assert len(runs.failed) == 1


@pytest.mark.long
def test_the_notebook_does_what_it_says(home, monkeypatch):
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    lines = [line for cell in cells for line in cell["source"] if line.strip()]
    assert len(lines) <= 10
    told = {}
    for cell in cells:
        exec("".join(cell["source"]), told)
    board = told["runs"].leaderboard("val_iid")
    erm, rrr = (board[board["mitigation"] == name]["accuracy/random"].item() for name in ("erm", "rrr"))
    assert rrr > erm


def test_the_suite_above_is_a_suite():
    assert tomllib.loads(SUITE)["seeds"] == [0, 1]
