from __future__ import annotations

import itertools

import pytest
import torch
from rrrbench.methods.mitigations.eiil import EIIL, most_violating, violation
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.irm import scale_derivative
from rrrbench.methods.network import Net
from small import small_trainer


def derivatives(n: int, seed: int) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def by_adam(d: torch.Tensor, seed: int, steps: int = 600) -> float:
    """The violation that gradient ascent ends at, from a random start, as in the released code."""
    logits = torch.randn(len(d), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    adam = torch.optim.Adam([logits], lr=0.1)
    for _ in range(steps):
        adam.zero_grad()
        (-violation(logits.sigmoid(), d)).backward()
        adam.step()
    return violation(logits.detach().sigmoid(), d).item()


@pytest.mark.parametrize("seed", range(3))
def test_adam_does_not_beat_the_closed_form_and_comes_near(seed):
    d = derivatives(30, seed)
    best = violation(most_violating(d).double(), d).item()
    reached = by_adam(d, seed + 10)
    assert reached <= best + 1e-12
    assert reached > 0.95 * best


def test_no_division_of_six_inputs_violates_more():
    d = derivatives(6, 5)
    every = [violation(torch.tensor(q, dtype=torch.float64), d).item() for q in itertools.product((0.0, 1.0), repeat=6)]
    assert max(every) == pytest.approx(violation(most_violating(d).double(), d).item(), abs=1e-15)


def test_the_complement_violates_as_much():
    d = derivatives(9, 6)
    q = most_violating(d).double()
    torch.testing.assert_close(violation(1 - q, d), violation(q, d))


def test_of_two_classes_the_environments_are_errors_and_hits():
    logits = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    labels = torch.arange(50) % 2
    wrong = logits.argmax(1) != labels
    assert torch.equal(most_violating(scale_derivative(logits, labels)).bool(), wrong)


@pytest.mark.usefixtures("shapes_unchecked")
def test_the_environments_are_of_a_short_erm_of_each_seed():
    trainer = small_trainer((0.0, 5.0), seeds=(0, 1), correlation=0.5, epochs=10)
    environments = EIIL().environments(trainer)
    for row, draw in enumerate(trainer.draws):
        short = small_trainer((0.0,), seeds=(draw.seed,), correlation=0.5, epochs=2)
        erm = ERM().fit(short)
        net = Net(short.modules[0], {name: value[0, 0] for name, value in erm.parameters.items()})
        batch = draw.train.batch()
        expected = scale_derivative(net(batch.inputs.double()), batch.labels) > 0
        assert torch.equal(environments[row].bool(), expected)
    assert not torch.equal(environments[0], environments[1])
