from __future__ import annotations

import pytest
import torch
from rrrbench.methods.mitigations.lisa import LISA
from small import small_dataset


def partners(mitigation, batch, seed=0):
    return mitigation.partners(batch, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("same_label", [1.0, 0.0])
def test_lisas_partners_share_the_label_alone_or_the_shortcut_alone(same_label):
    batch = small_dataset(correlation=0.5).train.batch()
    partner, paired = partners(LISA(same_label=same_label), batch)
    assert 0 < paired.sum() <= 24
    label = (batch.labels[partner] == batch.labels)[paired]
    shortcut = (batch.shortcuts[partner] == batch.shortcuts)[paired]
    assert (label == bool(same_label)).all()
    assert (shortcut != bool(same_label)).all()


def test_lisa_draws_both_rules():
    batch, rules = small_dataset(correlation=0.5).train.batch(), []
    for seed in range(50):
        partner, paired = partners(LISA(), batch, seed)
        rules.append((batch.labels[partner] == batch.labels)[paired])
    assert torch.cat(rules).double().mean().item() == pytest.approx(0.5, abs=0.1)


def test_lisa_leaves_out_an_input_without_a_partner():
    batch = small_dataset(correlation=1.0).train.batch()  # no label has two shortcut values
    _, paired = partners(LISA(same_label=1.0), batch)
    assert not paired.any()
