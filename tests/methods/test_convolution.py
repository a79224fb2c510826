from __future__ import annotations

import pytest
import torch
from rrrbench.methods.convolution import convolve
from torch import Tensor, nn
from torch.func import grad, vmap

KINDS = [{}, {"stride": 2, "padding": 1}, {"dilation": 2}, {"groups": 2}, {"bias": False}]


def double_layer(**kind) -> nn.Conv2d:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Conv2d(4, 6, 3, **kind).double()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(2, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.long
@pytest.mark.parametrize(
    "kind", [*KINDS[:2], *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[2:])], ids=str
)
def test_it_is_the_layer_and_has_its_first_and_second_derivatives(inputs, kind):
    layer = double_layer(**kind)
    leaves = [inputs.requires_grad_(), *(p.detach().requires_grad_() for p in layer.parameters())]

    def function(inputs, *parameters):
        return convolve(layer, inputs, *parameters)

    torch.testing.assert_close(function(*leaves), layer(inputs))
    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_stack_of_weights_has_the_gradients_of_each(inputs, kind):
    layer = double_layer(**kind)
    weights = torch.randn(3, *layer.weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def penalty(weight: Tensor) -> Tensor:
        return grad(lambda inputs: convolve(layer, inputs, weight).pow(3).sum())(inputs).square().sum()

    torch.testing.assert_close(vmap(grad(penalty))(weights), torch.stack([grad(penalty)(w) for w in weights]))


def test_padding_by_name_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match="give its padding as numbers"):
        convolve(nn.Conv2d(1, 1, 3, padding="same"), torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 3, 3))
