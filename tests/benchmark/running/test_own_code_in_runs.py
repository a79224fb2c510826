"""Suites whose networks, data sets and mitigations are files of the user's own: in every executor, and changed."""

from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.running.executors import executors
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.datasets import own_code
from rrrbench.datasets.recipe import datasets
from rrrbench.methods.base import mitigations
from tiny import tiny_suite

NET = """
from torch import nn

def build(features, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(features[1] * features[2], 8), nn.ReLU(), nn.Linear(8, classes))
"""
ENTRIES = """
from rrrbench.datasets.decoy import Decoy, datasets
from rrrbench.methods.base import mitigations
from rrrbench.methods.mitigations.rrr import RRR

@datasets.register
class OwnData(Decoy):
    name = "own_data"

@mitigations.register
class OwnRRR(RRR):
    name = "own_rrr"
"""
SWEEP = {
    "dataset": {"name": "own_data", "base": "digits"},
    "network": {"name": "module", "build": "my_own_net:build"},
    "mitigations": [{"mitigation": "own_rrr", "strengths": [1.0]}, {"mitigation": "erm"}],
}


@pytest.fixture
def own(tmp_path):
    """The two files, loaded; loads them again when they are written again."""
    paths = tmp_path / "my_own_net.py", tmp_path / "my_own_entries.py"
    for path, text in zip(paths, (NET, ENTRIES), strict=True):
        path.write_text(text)
    with own_code.temporary(), datasets.temporary(), mitigations.temporary():
        own_code.load(paths)
        yield paths


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["here", "processes", "ray", "slurm"])
def test_every_executor_knows_the_users_code(own, session, executor, tmp_path):
    """Workers have the files as the driver read them: they are gone from the disk when the workers begin."""
    if executor in ("ray", "slurm"):
        pytest.importorskip("ray" if executor == "ray" else "submitit")
    suite = tiny_suite(epochs=1, **SWEEP)
    for path in own:
        path.unlink()
    where = {"name": executor} if executor == "here" else {"name": executor, "workers": 2}
    where |= {"cluster": "local"} if executor == "slurm" else {}
    outcome = session(suite, executor=executors.resolve(where)).run()
    assert (outcome.trained, outcome.failed) == (4, ())
    for record in RecordStore(tmp_path / "home").finished(suite.keys()).values():
        assert record.network.startswith("module[build=my_own_net:build@")
        assert f"my_own_net.py {own_code.digest_of('my_own_net')}" in record.provenance["with"]


@pytest.mark.slow
def test_a_changed_file_is_another_run_and_the_finished_runs_are_said_to_be_of_the_earlier(own, session):
    first = tiny_suite(epochs=1, seeds=(0,), **SWEEP)
    outcome = session(first).run()
    assert (outcome.trained, outcome.of_earlier_files) == (2, 0)
    own[0].write_text(NET.replace("8", "9"))
    own_code.load(own)
    changed = tiny_suite(epochs=1, seeds=(0,), **SWEEP)
    assert set(changed.keys()).isdisjoint(first.keys())
    outcome = session(changed).run()
    assert (outcome.trained, outcome.of_earlier_files) == (2, 2)
    own[1].write_text(ENTRIES + "\n# changed\n")
    own_code.load(own)
    assert set(tiny_suite(epochs=1, seeds=(0,), **SWEEP).keys()).isdisjoint(changed.keys())


@pytest.mark.slow
def test_kept_weights_are_a_networks_weights_again(own, session, tmp_path):
    suite = tiny_suite(epochs=1, seeds=(0,), **SWEEP).model_copy(update={"save_models": True})
    session(suite).run()
    key = suite.keys()[0]
    path = RecordStore(tmp_path / "home").model_path(key)
    spec = {**SWEEP["network"], "weights": str(path)}
    (stack, _) = tiny_suite(epochs=1, seeds=(0,), **{**SWEEP, "network": spec}).stacks()
    network = stack.network.build(stack.dataset.make(0), 0)
    kept = torch.load(path, weights_only=True)
    assert all(torch.equal(value, kept[name]) for name, value in network.named_parameters())


def test_weights_that_change_while_a_session_runs_are_noticed(own, session, tmp_path):
    """Nothing is copied for a later run, and the changed file is trained under no key of the older."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.ReLU(), torch.nn.Linear(8, 10))
    path = tmp_path / "w.pt"
    torch.save({**network.state_dict(), "1.weight": torch.zeros(8, 784)}, path)
    suite = tiny_suite(epochs=1, seeds=(0,), **{**SWEEP, "network": {**SWEEP["network"], "weights": str(path)}})
    running = session(suite)
    (stack, *_) = suite.stacks()
    assert [file.name for file in stack.network.files()] == ["w.pt", "my_own_net.py"]
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"w\.pt: its SHA-256 is .*put that file back"):
        running.run()
