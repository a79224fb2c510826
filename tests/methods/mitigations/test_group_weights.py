"""Shares of the loss by group: reweighting and group_dro."""

from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.gradients import reversed_gradient
from rrrbench.methods.groups import balancing_weights, groups, inverse_shares
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.group_dro import GroupDRO
from rrrbench.methods.mitigations.reweighting import Reweighting
from rrrbench.methods.network import Net
from small import bound, small_dataset, small_trainer
from torch.nn import functional as F

LABELS = torch.tensor([0, 0, 0, 1, 1, 0])
SHORTCUTS = torch.tensor([0, 0, 0, 1, 0, -1])  # (0, 0) three times; (1, 1), (1, 0), and (0, none) once each
STRENGTH = torch.tensor(0.0, dtype=torch.float64)


def whole_training_set(mitigation) -> tuple[Net, Batch]:
    """A network with the mitigation's own parameters, and all training inputs in one batch."""
    trainer = small_trainer(seeds=(0,), correlation=0.5)
    draw, module = trainer.draws[0], trainer.modules[0]
    batch = draw.train.batch()
    own = {name: value.double() for name, value in mitigation.parameters(module, draw).items()}
    shares = inverse_shares(draw.train.labels[None], draw.train.shortcuts[None], torch.float64)[0]
    weights = balancing_weights(draw.train.labels[None], draw.train.shortcuts[None], torch.float64)[0]
    draws = {"inverse_shares": shares, "weights": weights}
    parameters = {**dict(module.named_parameters()), **own}
    return Net(module, parameters), batch._replace(inputs=batch.inputs.double(), draws=draws)


def group_errors(net: Net, batch: Batch) -> torch.Tensor:
    """The mean error of each group."""
    index, counts = groups(batch.labels, batch.shortcuts)
    errors = F.cross_entropy(net(batch.inputs), batch.labels, reduction="none")
    return torch.stack([errors[index == group].mean() for group in range(len(counts))])


def given_by(mitigation, trainer, monkeypatch) -> torch.Tensor:
    """What its `fit` gives for each input."""
    monkeypatch.setattr(trainer, "train", lambda mitigation, given: given)
    (values,) = mitigation.fit(trainer).values()
    return values


def test_a_group_is_a_pair_of_label_and_shortcut_value():
    index, counts = groups(LABELS, SHORTCUTS)
    assert [counts[i].item() for i in index] == [3, 3, 3, 1, 1, 1]
    assert len(index.unique()) == 4


def test_groups_weigh_the_same_and_inputs_1_on_average():
    weights = balancing_weights(LABELS[None], SHORTCUTS[None], torch.float64)[0]
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.5, 0.5, 1.5, 1.5, 1.5], dtype=torch.float64))
    shares = inverse_shares(LABELS[None], SHORTCUTS[None], torch.float64)[0]
    torch.testing.assert_close(shares, torch.tensor([2.0, 2.0, 2.0, 6.0, 6.0, 6.0], dtype=torch.float64))


def test_reweighting_is_the_mean_over_groups_of_their_mean_errors():
    net, batch = whole_training_set(Reweighting())
    loss = Reweighting().terms(net, batch, STRENGTH).right_answer
    torch.testing.assert_close(loss, group_errors(net, batch).mean())


@pytest.mark.parametrize("mitigation", [Reweighting(), GroupDRO()], ids=lambda m: m.name)
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


def test_reweighting_equal_groups_is_erm():
    train = small_dataset().train
    batch = train.batch(torch.cat([(train.labels == label).nonzero()[:4, 0] for label in range(3)]))
    weights = balancing_weights(batch.labels[None], batch.shortcuts[None], torch.float32)[0]
    net, batch = bound(small_trainer(dtype=torch.float32).modules[0]), batch._replace(draws={"weights": weights})
    reweighted, plain = (m.terms(net, batch, STRENGTH).right_answer for m in (Reweighting(), ERM()))
    torch.testing.assert_close(reweighted, plain)


def test_group_dro_begins_with_equal_shares_for_the_groups_that_occur():
    mitigation = GroupDRO()
    net, batch = whole_training_set(mitigation)
    loss = mitigation.terms(net, batch, STRENGTH).right_answer
    torch.testing.assert_close(loss, group_errors(net, batch).mean())


@pytest.mark.parametrize("rate", [0.1, 10.0, 1e4])
def test_a_pair_that_does_not_occur_has_no_share(rate):
    mitigation = GroupDRO(rate=rate)
    net, batch = whole_training_set(mitigation)
    q = (rate * net.parameters["group_dro.u"]).softmax(0)
    there = len(groups(batch.labels, batch.shortcuts)[1])
    assert sorted(q.tolist()) == pytest.approx([0] * (len(q) - there) + [1 / there] * there, abs=0)


def test_group_dros_loss_is_the_groups_errors_by_their_shares():
    mitigation = GroupDRO(rate=2.0)
    net, batch = whole_training_set(mitigation)
    u = net.parameters["group_dro.u"]
    values = len(u) // 3
    u += torch.where(u == 0, torch.randn(len(u), dtype=torch.float64, generator=torch.Generator().manual_seed(0)), 0)
    pairs = torch.stack((batch.labels, batch.shortcuts), 1).unique(dim=0)  # in the order of group_errors
    q = (2 * u).softmax(0)[pairs @ torch.tensor([values, 1]) + 1]
    torch.testing.assert_close(q.sum().item(), 1.0)
    loss = mitigation.terms(net, batch, STRENGTH).right_answer
    torch.testing.assert_close(loss, (q * group_errors(net, batch)).sum())


def test_a_step_of_descent_moves_shares_to_the_groups_with_larger_errors():
    """By hand: d loss / d u_g = q_g (l_g - loss), and d q_g = q_g (d u_g - sum_h q_h d u_h)."""
    mitigation, step = GroupDRO(rate=1.0), 1e-4
    net, batch = whole_training_set(mitigation)
    u = net.parameters["group_dro.u"].requires_grad_()
    (gradient,) = torch.autograd.grad(mitigation.terms(net, batch, STRENGTH).right_answer, u)
    before, after = u.softmax(0), (u - step * gradient).softmax(0)
    errors, share = group_errors(net, batch), 1 / len(group_errors(net, batch))
    present = before > 0
    moved = (after - before)[present] / step
    ascent = share * (errors - errors.mean())  # of u, at equal shares
    torch.testing.assert_close(moved, share * ascent, rtol=1e-3, atol=1e-7)
    assert moved[errors.argmax()] > 0 > moved[errors.argmin()]
    assert (gradient[~present] == 0).all()


def test_the_network_descends_where_the_shares_ascend():
    mitigation = GroupDRO()
    net, batch = whole_training_set(mitigation)
    weight = net.parameters["head.weight"]
    (gradient,) = torch.autograd.grad(mitigation.terms(net, batch, STRENGTH).right_answer, weight)
    (expected,) = torch.autograd.grad(group_errors(net, batch).mean(), weight)
    torch.testing.assert_close(gradient, expected)


def test_group_dro_favours_the_worst_group_over_erm():
    """100 steps: the largest of the groups' training errors ends below ERM's."""
    settings = {"seeds": (2,), "correlation": 0.5, "epochs": 100, "batch_size": 24, "learning_rate": 0.01}
    worst = []
    for mitigation in (ERM(), GroupDRO(rate=1.0)):
        trainer = small_trainer((0.0,), **settings)
        fitted = mitigation.fit(trainer)
        net = Net(trainer.modules[0], {name: value[0, 0] for name, value in fitted.parameters.items()})
        batch = trainer.draws[0].train.batch()
        worst.append(group_errors(net, batch._replace(inputs=batch.inputs.double())).max().item())
    assert worst[1] < 0.5 * worst[0]


def test_a_reversed_gradient_is_the_value_with_minus_its_gradient():
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(reversed_gradient(x), x)
    step = 1e-6
    rise = (reversed_gradient(x + step).sin() - reversed_gradient(x - step).sin()) / (2 * step)
    (gradient,) = torch.autograd.grad(reversed_gradient(x).sin().sum(), x)
    torch.testing.assert_close(gradient, -rise.detach(), rtol=1e-8, atol=1e-9)
    mapped = torch.func.vmap(torch.func.grad(lambda v: reversed_gradient(v).sin()))(x.detach())
    torch.testing.assert_close(mapped, gradient)
