from __future__ import annotations

import pytest
import torch
from rrrbench.methods.network import BoundLayer, Net, PixelRange, SharedLinear
from rrrbench.methods.nudge import nudged, reached_outputs
from small import small_net_and_batch
from torch import nn
from torch.nn import functional as F


def test_shared_linear_is_a_linear_layer_stacked_or_not():
    layer = SharedLinear(5, 4).double()
    inputs = torch.rand(3, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(inputs), F.linear(inputs, layer.weight, layer.bias))
    assert torch.autograd.gradgradcheck(lambda x, w: F.linear(x, w).tanh(), (inputs.requires_grad_(), layer.weight))
    weights = torch.randn(6, 4, 5, dtype=torch.float64, requires_grad=True)

    def total(weight):
        return torch.func.functional_call(layer, {"weight": weight}, (inputs.detach(),)).tanh().sum()

    stacked = torch.autograd.grad(torch.func.vmap(total)(weights).sum(), weights)[0]
    alone = torch.autograd.grad(sum(total(weight) for weight in weights), weights)[0]
    torch.testing.assert_close(stacked, alone)


def test_a_pixel_range_maps_0_and_1_to_its_ends():
    assert PixelRange(-1.0, 3.0)(torch.tensor([[0.0, 0.5, 1.0]])).tolist() == [[-1.0, 1.0, 3.0]]
    by_feature = PixelRange(0.0, torch.tensor([2.0, 10.0]))
    assert by_feature(torch.ones(1, 2)).tolist() == [[2.0, 10.0]]


def test_a_net_takes_its_parameters_from_the_arguments():
    net, batch = small_net_and_batch()
    torch.testing.assert_close(net(batch.inputs), net.module(batch.inputs))
    torch.testing.assert_close(net.head(net.features(batch.inputs)), net(batch.inputs))
    zeros = Net(net.module, {name: torch.zeros_like(value) for name, value in net.parameters.items()})
    assert (zeros(batch.inputs) == 0).all()


def test_a_detached_net_has_the_same_logits_and_no_gradient():
    net, batch = small_net_and_batch()
    assert net(batch.inputs).requires_grad
    assert not net.detached()(batch.inputs).requires_grad
    assert torch.equal(net.detached()(batch.inputs), net(batch.inputs))


@pytest.mark.parametrize("pixel_range", ["unit", (-1.0, 3.0)])
def test_a_nudge_is_added_at_its_positions(pixel_range):
    net, batch = small_net_and_batch({"name": "mlp", "hidden": [7, 5], "init": "torch", "pixel_range": pixel_range})
    positions = torch.tensor([0, 7, 35])
    nudge = torch.rand(len(batch.labels), 3, dtype=torch.float64)
    moved = batch.inputs.flatten(1).index_add(1, positions, nudge).view_as(batch.inputs)
    torch.testing.assert_close(nudged(net, batch.inputs, nudge, positions), net(moved))


@pytest.mark.parametrize("convolution", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}], ids=str)
def test_the_outputs_that_positions_reach_are_those_that_change_with_them(convolution):
    conv = nn.Conv2d(2, 3, 3, **convolution, dtype=torch.float64)
    module = nn.Module()
    module.features, module.head = nn.Sequential(conv, nn.Flatten()), nn.Linear(1, 1)
    positions, inputs = torch.tensor([0, 9, 45]), torch.rand(1, 2, 6, 6, dtype=torch.float64)
    changed = inputs.flatten(1).index_fill(1, positions, 2.0).view_as(inputs)
    expected = (conv(changed) != conv(inputs)).any(1).flatten().nonzero()[:, 0]
    assert torch.equal(reached_outputs(module, (2, 6, 6), positions), expected)


def test_a_dense_first_layer_reaches_no_outputs_of_a_convolution():
    net, _ = small_net_and_batch()
    assert reached_outputs(net.module, (1, 6, 6), torch.tensor([0])) is None


def test_the_linear_part_of_a_layer_leaves_out_the_bias():
    module = nn.Linear(3, 2, dtype=torch.float64)
    layer, hidden = BoundLayer(module, dict(module.named_parameters())), torch.rand(4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer.linear(hidden), layer(hidden) - module.bias)
    torch.testing.assert_close(layer.linear(hidden, absolute=True), hidden @ module.weight.abs().T)
