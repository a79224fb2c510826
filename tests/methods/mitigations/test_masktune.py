from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.masktune import MaskTune
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


def salient(evidence: list[float], shape=(-1,)) -> torch.Tensor:
    """MaskTune's T for one input of ones, of a network with z_0 - z_1 = this evidence."""
    weight = torch.tensor([evidence, [0.0] * len(evidence)], dtype=torch.float64)
    inputs = torch.ones(1, len(evidence), dtype=torch.float64).view(1, *shape)
    labels = torch.tensor([0])
    batch = Batch(inputs, labels, torch.zeros_like(inputs, dtype=torch.bool), labels)
    return MaskTune().salient(bound(Linear(weight)), batch)


def test_masktune_hides_evidence_two_deviations_above_the_mean():
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
