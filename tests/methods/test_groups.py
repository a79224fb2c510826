from __future__ import annotations

import pytest
import torch
from rrrbench.methods.groups import balancing_weights, groups, inverse_shares
from rrrbench.methods.mitigations.group_dro import GroupDRO
from rrrbench.methods.mitigations.reweighting import Reweighting
from small import small_trainer

LABELS = torch.tensor([0, 0, 0, 1, 1, 0])
SHORTCUTS = torch.tensor([0, 0, 0, 1, 0, -1])  # (0, 0) three times; (1, 1), (1, 0), and (0, none) once each


def test_a_group_is_a_pair_of_label_and_shortcut_value():
    index, counts = groups(LABELS, SHORTCUTS)
    assert [counts[i].item() for i in index] == [3, 3, 3, 1, 1, 1]
    assert len(index.unique()) == 4


def test_groups_weigh_the_same_and_inputs_1_on_average():
    weights = balancing_weights(LABELS[None], SHORTCUTS[None], torch.float64)[0]
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.5, 0.5, 1.5, 1.5, 1.5], dtype=torch.float64))
    shares = inverse_shares(LABELS[None], SHORTCUTS[None], torch.float64)[0]
    torch.testing.assert_close(shares, torch.tensor([2.0, 2.0, 2.0, 6.0, 6.0, 6.0], dtype=torch.float64))


def given_by(mitigation, trainer, monkeypatch) -> torch.Tensor:
    """What its `fit` gives for each input."""
    monkeypatch.setattr(trainer, "train", lambda mitigation, given: given)
    (values,) = mitigation.fit(trainer).values()
    return values


@pytest.mark.parametrize("mitigation", [Reweighting(), GroupDRO()], ids=lambda m: m.name)
@pytest.mark.usefixtures("shapes_unchecked")
def test_every_seed_has_the_weights_of_its_own_groups(mitigation, monkeypatch):
    trainer = small_trainer(seeds=(0, 1), correlation=0.5)
    values = given_by(mitigation, trainer, monkeypatch)
    for row, draw in enumerate(trainer.draws):
        alone = small_trainer(seeds=(draw.seed,), correlation=0.5)
        assert torch.equal(values[row], given_by(mitigation, alone, monkeypatch)[0])
        index, counts = groups(draw.train.labels, draw.train.shortcuts)
        sums = torch.zeros(len(counts), dtype=torch.float64).index_add(0, index, values[row])
        torch.testing.assert_close(sums, sums[0].expand_as(sums))
    assert not torch.equal(values[0], values[1])
