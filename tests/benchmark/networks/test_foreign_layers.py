from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.networks.foreign_layers import (
    out_of_place,
    settle_batch_norm,
    twice_differentiable,
    without_draws,
)
from torch import nn


def convolutional(channels: int = 6) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, channels, 3), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


def test_nothing_said_of_batch_norm_names_the_layer_and_both_ways_out():
    with pytest.raises(ValueError, match=r'BatchNorm \(1\).*batch_norm = "frozen".*batch_norm = "group"'):
        settle_batch_norm(convolutional(), None)


def test_batch_norm_said_of_a_network_without_it_is_refused():
    with pytest.raises(ValueError, match="has no BatchNorm: leave batch_norm out"):
        settle_batch_norm(nn.Sequential(nn.Conv2d(1, 4, 3)), "group")


def test_frozen_statistics_are_constants_and_the_affine_parameters_train():
    module = convolutional()
    module[1].running_mean.fill_(2.0)
    module[1].running_var.fill_(4.0)
    frozen = settle_batch_norm(module, "frozen")
    inputs = torch.rand(3, 1, 5, 5)
    expected = ((module[0](inputs) - 2) / (4 + module[1].eps) ** 0.5).relu()
    torch.testing.assert_close(frozen(inputs), expected)
    assert module[1].running_mean.unique().tolist() == [2.0]
    assert all(parameter.requires_grad for parameter in module[1].parameters())


def test_statistics_that_there_are_not_cannot_be_frozen():
    with pytest.raises(ValueError, match='0 keeps no running statistics to freeze: take batch_norm = "group"'):
        settle_batch_norm(nn.Sequential(nn.BatchNorm2d(4, track_running_stats=False)), "frozen")


@pytest.mark.parametrize(("channels", "groups"), [(64, 16), (512, 32), (24, 6), (58, 2), (3, 1), (16, 4), (13, 1)])
def test_group_norm_has_groups_that_divide_the_channels_and_keeps_the_affine_parameters(channels, groups):
    module = convolutional(channels)
    weight = module[1].weight
    norm = settle_batch_norm(module, "group")[1]
    assert (type(norm), norm.num_groups) == (nn.GroupNorm, groups)
    assert norm.weight is weight


def test_a_batch_norm_that_is_the_whole_module_is_replaced():
    assert isinstance(settle_batch_norm(nn.BatchNorm2d(4), "group"), nn.GroupNorm)


def test_no_activation_writes_into_its_input():
    module = out_of_place(convolutional())
    assert not module[2].inplace


def test_a_layer_without_a_second_derivative_is_replaced_by_the_same_function():
    """x and the squared gradient of its sum: 2 g * dg/dx, and dg/dx = 0 wherever the hard sigmoid is smooth."""
    inputs = torch.linspace(-5, 5, 41, dtype=torch.float64).requires_grad_()
    module = twice_differentiable(nn.Sequential(nn.Hardsigmoid(inplace=True)))
    torch.testing.assert_close(module(inputs), nn.Hardsigmoid()(inputs))
    (gradient,) = torch.autograd.grad(module(inputs).sum(), inputs, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum() + inputs.sum(), inputs)
    assert (second == 1).all()


def test_what_inplace_means_in_a_layer_of_the_users_is_left_alone():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.inplace = True

    assert out_of_place(nn.Sequential(Own()))[0].inplace is True


def test_a_layer_in_two_places_is_replaced_in_both():
    layer = nn.Hardsigmoid()
    network = twice_differentiable(nn.Sequential(layer, nn.Linear(3, 3), layer))
    assert not any(isinstance(part, nn.Hardsigmoid) for part in network)


def test_no_layer_draws_any_more():
    module = nn.Sequential(nn.Dropout(0.5), nn.MultiheadAttention(4, 2, dropout=0.3), nn.Dropout2d(0.1))
    without_draws(module)
    assert (module[0].p, module[1].dropout, module[2].p) == (0.0, 0.0, 0.0)
