"""What holds for every explainer."""

import pytest
import torch
from rrrbench.methods.explainers.base import explainers
from torch import nn

EVERY = pytest.mark.parametrize("name", explainers.names())  # newcomers too


def small_network():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.Softplus(), nn.Dropout(0.5), nn.Linear(8, 3))
    network[0].eval()  # modes differ within the module
    network[0].weight.requires_grad_(False)
    network[3].weight.grad = torch.ones(3, 8)
    return network


def state(network, inputs):
    return {
        "modes": [module.training for module in network.modules()],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in network.parameters()],
        "parameters": [parameter.tolist() for parameter in network.parameters()],
        "inputs": (inputs.tolist(), inputs.requires_grad, inputs.grad, inputs.grad_fn),
        "random": torch.get_rng_state().tolist(),
    }


class Draws(nn.Module):
    """Moves the global random state, then fails."""

    def forward(self, inputs):
        torch.rand(1)
        raise RuntimeError("out of memory, say")


def test_the_registry_finds_all_three():
    assert {"input_gradient", "input_gradient_predicted", "integrated_gradients"} <= set(explainers.names())


@EVERY
@pytest.mark.parametrize("requires_grad", [False, True])
def test_leaves_everything_as_it_was(name, requires_grad):
    network, inputs = small_network(), torch.rand(5, 6, requires_grad=requires_grad)
    before = state(network, inputs)
    attributions = explainers.resolve(name).attribute(network, inputs, torch.tensor([0, 1, 2, 0, 1]))
    assert state(network, inputs) == before
    assert not attributions.requires_grad


@EVERY
def test_leaves_everything_as_it_was_after_an_exception(name):
    network, inputs = small_network().append(Draws()), torch.rand(5, 6)
    before = state(network, inputs)
    with pytest.raises(RuntimeError, match="out of memory"):
        explainers.resolve(name).attribute(network, inputs, torch.zeros(5, dtype=torch.long))
    assert state(network, inputs) == before


@EVERY
def test_is_deterministic_though_the_network_has_dropout(name):
    network, inputs, target = small_network(), torch.rand(5, 6), torch.tensor([0, 1, 2, 0, 1])
    explainer = explainers.resolve(name)
    assert torch.equal(explainer.attribute(network, inputs, target), explainer.attribute(network, inputs, target))


@EVERY
@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad])
def test_an_input_is_attributed_the_same_in_any_batch(name, grad_mode):
    network, inputs, target = small_network().double(), torch.rand(7, 6).double(), torch.arange(7) % 3
    explainer = explainers.resolve(name)
    with grad_mode():
        together = explainer.attribute(network, inputs, target)
        alone = [explainer.attribute(network, inputs[[n]], target[[n]]) for n in range(7)]
    torch.testing.assert_close(together, torch.cat(alone))


@EVERY
def test_takes_any_callable_any_shape_and_no_inputs_at_all(name):
    inputs = torch.rand(4, 2, 3, 3)
    attributions = explainers.resolve(name).attribute(lambda x: x.sum((2, 3)) ** 2, inputs, torch.tensor([0, 1, 0, 1]))
    assert attributions.shape == inputs.shape
    assert attributions.dtype == inputs.dtype
    nothing = explainers.resolve(name).attribute(lambda x: x.sum((2, 3)), inputs[:0], torch.zeros(0, dtype=torch.long))
    assert nothing.shape == (0, 2, 3, 3)


@EVERY
def test_signs_are_kept(name):
    """Class 0 by a feature minus another: they have opposite signs in its logit, its odds, and sum log p."""
    inputs, target = torch.tensor([[0.8, 0.3]]), torch.tensor([0])
    opposed = lambda x: torch.stack([x[:, 0] - x[:, 1], torch.zeros(len(x))], 1)  # noqa: E731
    one, other = explainers.resolve(name).attribute(opposed, inputs, target)[0].tolist()
    assert one * other < 0
