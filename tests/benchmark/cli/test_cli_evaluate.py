"""`rrrbench evaluate`: networks from files, with their own weights or with those that a suite kept."""

import tomllib

import pandas as pd
import pytest
import torch
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.datasets import own_code
from rrrbench.datasets.recipe import datasets
from torch import nn
from typer.testing import CliRunner

NETS = """
from torch import nn

class Own(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
        self.norm, self.last = nn.BatchNorm1d(8), nn.Linear(8, classes)

    def forward(self, images):
        return self.last(self.norm(self.first(images)).relu())

def own(classes):
    return Own(classes)

def sequence(features, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, classes))

def alone():
    return Own(10)

def needy(width):
    return nn.Linear(width, 10)
"""
SUITE = """
seeds = [0]
save_models = true
[[sweeps]]
dataset = "decoy"
training = { epochs = 2 }
mitigations = [{ mitigation = "erm" }]
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    path = tmp_path / "my_kept_net.py"
    path.write_text(NETS)
    with own_code.temporary():
        yield path


def evaluate(*given):
    return CliRunner().invoke(app, ["evaluate", *map(str, given)])


def trained(nets, tmp_path, **network):
    """The file of the weights that a suite kept, and the record of the run."""
    own_code.load([nets])
    content = {"name": "kept", **tomllib.loads(SUITE)}
    content["sweeps"][0]["network"] = {"name": "module", **network}
    session = Session(parse_suite(content, "kept"), tmp_path / "home", log=False)
    assert not session.run().failed
    (record,) = session.records.values()
    return RecordStore(tmp_path / "home").model_path(record.run_key), record


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "more"),
    [
        ("own", {"batch_norm": "frozen"}),
        pytest.param("own", {"batch_norm": "group"}, marks=pytest.mark.slow),
        pytest.param("sequence", {}, marks=pytest.mark.slow),
    ],
)
def test_weights_that_a_suite_kept_have_the_numbers_of_their_record(nets, tmp_path, function, more):
    weights, record = trained(nets, tmp_path, build=f"my_kept_net:{function}", **more)
    told = evaluate(f"{nets}:{function}", "--weights", weights, "--dataset", "decoy-digits", "--name", "kept")
    assert told.exit_code == 0, told.output
    (found,) = RecordStore(tmp_path / "home").evaluated({record.dataset_key})
    for name in ("accuracy/random", "flip_rate", "mass_abs/input_gradient"):
        assert found.metrics[name] == pytest.approx(record.metrics[name], rel=1e-4), name


@pytest.mark.long
def test_weights_of_the_module_itself_are_read_too(nets, tmp_path):
    torch.manual_seed(0)
    (module,) = (own_code.function(f"{nets}:alone")(),)
    torch.save(module.state_dict(), tmp_path / "w.pt")
    told = evaluate(f"{nets}:alone", "--weights", tmp_path / "w.pt", "--dataset", "decoy-digits", "--no-log",
                    "--predictions", tmp_path / "said.csv")  # fmt: skip
    assert told.exit_code == 0, told.output
    said = pd.read_csv(tmp_path / "said.csv")
    assert list(said) == ["input", "label", "predicted", "twin", "flips"]
    draw = datasets.resolve("decoy").make(0).test("random")
    with torch.no_grad():
        right = (module.eval()(draw.batch().inputs).argmax(1) == draw.labels).double().mean().item()
    assert f"{right:.3f}" in next(line for line in told.output.splitlines() if line.startswith("accuracy/random"))


@pytest.mark.long
def test_a_second_network_of_a_name_is_judged_and_then_not_kept(nets, tmp_path):
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(own_code.function(f"{nets}:alone")().state_dict(), tmp_path / f"{seed}.pt")
    first, second, named = (
        evaluate(f"{nets}:alone", "--weights", tmp_path / f"{seed}.pt", "--dataset", "decoy-digits", *more)
        for seed, more in ((0, ()), (1, ()), (1, ("--name", "second")))
    )
    assert first.exit_code == named.exit_code == 0
    assert second.exit_code == 2
    assert "accuracy/random" in second.output
    assert "--name" in second.output
    assert len(list((tmp_path / "home" / "records").glob("*/*.json"))) == 2


def test_weights_of_another_network_are_refused(nets, tmp_path):
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "w.pt")
    told = evaluate(f"{nets}:alone", "--weights", tmp_path / "w.pt", "--dataset", "decoy-digits", "--no-log")
    assert told.exit_code == 2
    assert "lacks first.1.weight" in told.output
    assert "is it a state dict of this network?" in told.output


def test_a_function_that_needs_more_says_what_it_would_be_given(nets):
    told = evaluate(f"{nets}:needy", "--dataset", "decoy-digits", "--no-log")
    assert told.exit_code == 2
    assert "cannot be called without arguments, or with features and classes" in told.output
