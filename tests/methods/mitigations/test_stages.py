"""Mitigations that train more than once, jtt and masktune, and the two plain ones: oracle_clean and l2."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.datasets.base import Batch
from rrrbench.methods.base import mitigations
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.jtt import JTT, misclassified
from rrrbench.methods.mitigations.l2 import L2
from rrrbench.methods.mitigations.masktune import MaskTune
from rrrbench.methods.mitigations.oracle_clean import OracleClean
from rrrbench.methods.network import Net
from small import Linear, bound, small_dataset, small_net_and_batch, small_trainer, without_masks
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


def salient(evidence: list[float], shape=(-1,)) -> torch.Tensor:
    """MaskTune's T for one input of ones, of a network with z_0 - z_1 = this evidence."""
    weight = torch.tensor([evidence, [0.0] * len(evidence)], dtype=torch.float64)
    inputs = torch.ones(1, len(evidence), dtype=torch.float64).view(1, *shape)
    labels = torch.tensor([0])
    batch = Batch(inputs, labels, torch.zeros_like(inputs, dtype=torch.bool), labels)
    return MaskTune().salient(bound(Linear(weight)), batch)


def test_masktune_hides_what_exceeds_the_mean_of_the_positive_evidence_by_two_deviations():
    # m values 1 and one value b: b exceeds the mean by m (b - 1) / (m + 1), and 2 sd = 2 sqrt(m) (b - 1) / (m + 1)
    assert salient([1.0] * 5 + [9.0]).tolist() == [[False] * 5 + [True]]
    assert not salient([1.0] * 3 + [9.0]).any()
    assert salient([1.0] * 5 + [9.0, -2.0, 0.0]).tolist() == [[False] * 5 + [True, False, False]]


def test_masktune_looks_at_the_predicted_class():
    assert salient([-1.0] * 5 + [-9.0]).tolist() == [[False] * 5 + [True]]  # class 1 is predicted


def test_masktune_hides_a_pixel_in_all_channels():
    # two channels of six pixels, which add up to five times 1 and once 9, and then to 1 everywhere
    mask = salient([1.0] * 5 + [5.0] + [0.0] * 5 + [4.0], shape=(2, 2, 3))
    assert mask.tolist() == [[[[False, False, False], [False, False, True]]]]
    assert not salient([9.0] + [1.0] * 5 + [-8.0] + [0.0] * 5, shape=(2, 2, 3)).any()


def test_masktune_hides_nothing_of_a_black_input():
    net, batch = small_net_and_batch()
    assert not MaskTune().salient(net, batch._replace(inputs=torch.zeros_like(batch.inputs))).any()


def test_masktunes_loss_is_of_inputs_with_zeros_there():
    net, batch = small_net_and_batch()
    hidden = torch.where(batch.masks, 0.0, batch.inputs)
    loss = MaskTune().terms(net, batch, STRENGTH).right_answer
    torch.testing.assert_close(loss, F.cross_entropy(net(hidden), batch.labels))


def test_masktune_goes_on_from_erm_for_one_epoch_with_that_networks_masks(stages):
    trainer = small_trainer((0.0,), seeds=(0, 1))
    MaskTune().fit(trainer)
    first, second = stages
    assert (first["mitigation"].name, first["epochs"], second["epochs"]) == ("erm", 3, 1)
    assert second["start"] is first["fitted"].parameters
    for row, draw in enumerate(trainer.draws):
        net = Net(trainer.modules[row], {name: value[row, 0] for name, value in second["start"].items()})
        batch = draw.train.batch()
        expected = MaskTune().salient(net, batch._replace(inputs=batch.inputs.double()))
        assert torch.equal(second["masks"][row, 0], expected)
        assert expected.any()


def test_masktune_never_sees_the_true_masks():
    one, other = (
        MaskTune().fit(small_trainer((0.0,), draws=draws)).parameters
        for draws in ([small_dataset(0)], [without_masks(small_dataset(0))])
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_oracle_is_erm_on_the_clean_twins():
    draws = [small_dataset(seed) for seed in (0, 1)]
    clean = [replace(draw, train=draw.clean_train()) for draw in draws]
    assert all(
        not draw.train.masks.any() and torch.equal(draw.train.labels, draws[i].train.labels)
        for i, draw in enumerate(clean)
    )
    fitted = OracleClean().fit(trainer := small_trainer((0.0,), draws=draws))
    oracle = fitted.parameters
    for row, draw in enumerate(clean):  # its training inputs are not the dataset's
        net = Net(trainer.modules[row], {name: value[row, 0] for name, value in oracle.items()})
        right = net(draw.train.batch().inputs.double()).argmax(-1) == draw.train.labels
        assert fitted.metrics["accuracy/train"][row, 0] == right.double().mean()
    erm = ERM().fit(small_trainer((0.0,), draws=clean)).parameters
    assert all(torch.equal(oracle[name], erm[name]) for name in erm)
    assert not torch.equal(
        oracle["head.weight"], ERM().fit(small_trainer((0.0,), draws=draws)).parameters["head.weight"]
    )


def test_the_oracle_needs_twins():
    draw, module = small_dataset(), small_trainer().modules[0]
    assert OracleClean().obstacle(draw, module) == ""
    without = replace(draw, clean_train=None)
    assert OracleClean().obstacle(without, module) == "small cannot be rendered without its shortcut"


def test_l2_is_the_squared_norm_of_all_parameters():
    net, batch = small_net_and_batch()
    expected = STRENGTH * sum(parameter.detach().square().sum() for parameter in net.module.parameters())
    torch.testing.assert_close(L2().terms(net, batch, STRENGTH).right_reason, expected)


def test_l2_without_biases_is_the_squared_norm_of_the_weights():
    net, batch = small_net_and_batch()
    layers = [module for module in net.module.modules() if isinstance(module, torch.nn.Linear)]
    expected = STRENGTH * sum(layer.weight.detach().square().sum() for layer in layers)
    torch.testing.assert_close(L2(biases=False).terms(net, batch, STRENGTH).right_reason, expected)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_l2_is_torchs_weight_decay_at_half_of_it(optimizer):
    settings = {"seeds": (0,), "optimizer": optimizer, "learning_rate": 0.01}
    penalised = L2().fit(small_trainer((0.05,), **settings)).parameters
    decayed = ERM().fit(small_trainer((0.0,), weight_decay=0.1, **settings)).parameters
    for name, value in decayed.items():
        torch.testing.assert_close(penalised[name], value, rtol=1e-7, atol=1e-9)


def needing_a_minority() -> list[str]:
    return [name for name in mitigations.names() if mitigations.resolve(name).needs_minority]


@pytest.mark.parametrize("name", needing_a_minority())
def test_without_a_minority_there_is_nothing_to_learn_from(name):
    mitigation, module = mitigations.resolve(name), small_trainer().modules[0]
    assert "there is no minority group" in mitigation.obstacle(small_dataset(correlation=1.0), module)
    assert mitigation.obstacle(small_dataset(correlation=0.5), module) == ""
