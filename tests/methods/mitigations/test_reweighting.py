from __future__ import annotations

import torch
from rrrbench.methods.groups import balancing_weights
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.reweighting import Reweighting
from small import bound, small_dataset, small_trainer
from training_groups import STRENGTH, group_errors, whole_training_set


def test_reweighting_is_the_mean_over_groups_of_their_mean_errors():
    net, batch = whole_training_set(Reweighting())
    loss = Reweighting().terms(net, batch, STRENGTH).right_answer
    torch.testing.assert_close(loss, group_errors(net, batch).mean())


def test_reweighting_equal_groups_is_erm():
    train = small_dataset().train
    batch = train.batch(torch.cat([(train.labels == label).nonzero()[:4, 0] for label in range(3)]))
    weights = balancing_weights(batch.labels[None], batch.shortcuts[None], torch.float32)[0]
    net, batch = bound(small_trainer(dtype=torch.float32).modules[0]), batch._replace(draws={"weights": weights})
    reweighted, plain = (m.terms(net, batch, STRENGTH).right_answer for m in (Reweighting(), ERM()))
    torch.testing.assert_close(reweighted, plain)
