from __future__ import annotations

import pytest
import torch
from rrrbench.methods.groups import groups
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.group_dro import GroupDRO
from rrrbench.methods.network import Net
from small import small_trainer
from training_groups import STRENGTH, group_errors, whole_training_set


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


@pytest.mark.long
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
