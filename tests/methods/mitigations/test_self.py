"""SELF: which inputs are disputed, and how much each counts."""

from __future__ import annotations

import torch
from rrrbench.methods.last_layer import features_of_run, held_out
from rrrbench.methods.mitigations import self as self_module
from rrrbench.methods.mitigations.self import SELF, balanced
from small import small_trainer


def test_the_disputed_inputs_are_where_the_networks_are_farthest_apart():
    logits = torch.tensor([[3.0, 0.0], [0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    early = torch.tensor([[3.0, 0.0], [0.1, 0.0], [0.0, 3.0], [0.0, 0.0]])
    assert SELF(inputs=2).disputed(logits, early).tolist() == [2, 3]
    assert SELF(inputs=3).disputed(logits, early).tolist() == [2, 3, 1]
    assert len(SELF(inputs=100).disputed(logits, early)) == 4


def test_the_same_logits_but_for_a_constant_are_no_dispute():
    coins = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 3, generator=coins)
    other = logits + 7
    other[4] = other[4].flip(0)
    assert SELF(inputs=1).disputed(logits, other).tolist() == [4]


def test_every_class_that_occurs_counts_alike():
    labels = torch.tensor([0, 0, 0, 4, 2, 2])
    weights = balanced(labels)
    torch.testing.assert_close(weights, torch.tensor([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 6, 1 / 6], dtype=torch.float64))


def test_stage_2_is_given_the_disputed_inputs_and_no_other(monkeypatch):
    trainer = small_trainer((0.0,), (0,), correlation=0.5)
    method, given = SELF(inputs=3, share=0.5), []

    def seen(features, labels, head, importance, *, steps):
        given.append((features, labels))
        return tuple(part.numpy() for part in head)

    monkeypatch.setattr(self_module, "descended", seen)
    monkeypatch.setattr(SELF, "disputed", lambda *_: torch.tensor([4, 0, 7]))
    fitted = method.fit(trainer)
    out = held_out(trainer, 0.5)[0]
    features = features_of_run(trainer, fitted, 0, 0)  # the new head is the old: `seen` changed nothing
    ((chosen, labels),) = given
    torch.testing.assert_close(chosen, torch.from_numpy(features)[out][[4, 0, 7]])
    assert labels.tolist() == trainer.draws[0].train.labels[out][[4, 0, 7]].tolist()
