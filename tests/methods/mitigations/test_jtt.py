from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.jtt import JTT, misclassified
from rrrbench.methods.network import Net
from small import Linear, bound, small_net_and_batch, small_trainer
from torch.nn import functional as F

STRENGTH = torch.tensor(3.0, dtype=torch.float64)


@pytest.fixture
def stages(monkeypatch) -> list[dict]:
    """What every training was asked for, and what came of it."""
    seen, train = [], Trainer.train

    def watched(self, mitigation, **given):
        fitted = train(self, mitigation, **given)
        seen.append({"mitigation": mitigation, "epochs": self.training.epochs, "fitted": fitted, **given})
        return fitted

    monkeypatch.setattr(Trainer, "train", watched)
    return seen


def predictions(trainer: Trainer, parameters, row: int) -> torch.Tensor:
    net = Net(trainer.modules[row], {name: value[row, 0] for name, value in parameters.items()})
    return net(trainer.draws[row].train.batch().inputs.double()).argmax(-1)


@pytest.mark.long
def test_jtt_counts_what_a_short_erm_misses(stages):
    trainer = small_trainer((0.0, 5.0, 20.0), seeds=(0, 1), correlation=0.5, epochs=10)
    JTT().fit(trainer)
    first, second = stages
    assert (first["mitigation"].name, first["epochs"], second["epochs"]) == ("erm", 2, 10)
    missed = second["given"]["missed"]
    for row, draw in enumerate(trainer.draws):
        short = small_trainer((0.0,), seeds=(draw.seed,), correlation=0.5, epochs=2)
        erm = ERM().fit(short)
        assert torch.equal(missed[row], predictions(short, erm.parameters, 0) != draw.train.labels)
    assert 0 < missed.sum() < missed.numel()
    assert not torch.equal(missed[0], missed[1])


def test_jtts_second_network_begins_from_scratch(stages):
    trainer = small_trainer((0.0,), seeds=(0,), correlation=0.5)
    fitted = JTT().fit(trainer)
    erm = ERM().fit(small_trainer((0.0,), seeds=(0,), correlation=0.5))
    assert all(torch.equal(fitted.parameters[name], erm.parameters[name]) for name in erm.parameters)


@pytest.mark.long
@pytest.mark.parametrize(("share", "epochs"), [(0.01, 1), (0.5, 5), (1.0, 10)])
def test_jtts_first_network_has_a_share_of_the_epochs_and_at_least_one(share, epochs, stages):
    JTT(first_epochs=share).fit(small_trainer((1.0,), seeds=(0,), correlation=0.5, epochs=10))
    assert stages[0]["epochs"] == epochs


def test_what_was_missed_counts_1_plus_the_strength_times():
    net, batch = small_net_and_batch()
    missed = torch.tensor([True, False, False, True, True, False])
    terms = JTT().terms(net, batch._replace(draws={"missed": missed}), STRENGTH)
    errors = F.cross_entropy(net(batch.inputs), batch.labels, reduction="none")
    torch.testing.assert_close(sum(terms), (torch.tensor([4, 1, 1, 4, 4, 1]) * errors).mean())


def test_misclassified_by_hand():
    labels = torch.tensor([0, 1, 1])
    inputs = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    batch = Batch(inputs, labels, torch.zeros(3, 2, dtype=torch.bool), labels)
    assert misclassified(bound(Linear(torch.eye(2))), batch).tolist() == [False, True, False]
