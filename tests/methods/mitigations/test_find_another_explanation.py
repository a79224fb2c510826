from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.gradients import input_gradient
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.find_another_explanation import FindAnotherExplanation
from small import Linear, bound, small_trainer
from torch.nn import functional as F

WIDE = {"name": "mlp", "hidden": [32, 16], "init": "torch"}  # the smallest of nets may have no live ReLU


def test_largest_gradient_mask_by_hand():
    # two classes, W_0 - W_1 = (3, -2.1, 1.9, 0): the log-odds' gradient is +-that, and 0.67 * 3 = 2.01
    weight = torch.tensor([[3.0, -2.1, 1.9, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    labels = torch.tensor([0])
    batch = Batch(torch.zeros(1, 4, dtype=torch.float64), labels, torch.zeros(1, 4, dtype=torch.bool), labels)
    mask = FindAnotherExplanation().largest_gradient_mask(bound(Linear(weight)), batch)
    assert mask.tolist() == [[True, True, False, False]]


@pytest.mark.long
def test_find_another_explanation_forbids_what_erm_looked_at():
    trainer = small_trainer((10.0,), seeds=(0,), network=WIDE, epochs=60, learning_rate=0.01)
    mitigation = FindAnotherExplanation()
    fitted, erm = mitigation.fit(trainer), ERM().fit(trainer)
    forbidden = trainer.per_input(erm, mitigation.largest_gradient_mask)

    def inside(stack) -> float:
        """Squared gradient of sum_k log p_k where ERM's was largest: what RRR penalises, whatever trained the stack."""
        gradient = trainer.per_input(
            stack, lambda net, b: input_gradient(net, b.inputs, lambda z: F.log_softmax(z, -1).sum(-1))[0]
        )
        return (gradient * forbidden).square().sum().item()

    assert inside(fitted) < 0.01 * inside(erm)


@pytest.mark.slow
def test_the_networks_before_the_last_are_those_of_fewer_iterations():
    trainer = small_trainer((10.0, 100.0), epochs=3, learning_rate=0.01)
    third = FindAnotherExplanation(iterations=3)
    assert [one.iterations for one in third.passes] == [1, 2]
    for passed, alone in zip(third.fit(trainer).passed, third.passes, strict=True):
        torch.testing.assert_close(passed.parameters, alone.fit(trainer).parameters, rtol=0, atol=0)
