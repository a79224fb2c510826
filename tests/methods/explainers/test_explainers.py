"""What holds for every explainer."""

import numpy as np
import pytest
import torch
from rrrbench.benchmark.conformance import explainer_laws
from rrrbench.methods.explainers.base import explainers
from small import SmallConvolutional, small_net_and_batch
from torch import nn

NAMES = explainers.names()  # newcomers too
EVERY = pytest.mark.parametrize("name", NAMES)
BLIND = "random_attribution"
LOOKS = pytest.mark.parametrize("name", [name for name in NAMES if name != BLIND])
BY_OUTPUTS = pytest.mark.parametrize("name", [name for name in NAMES if not explainers[name].needs_layers])
BY_LAYERS = pytest.mark.parametrize("name", [name for name in NAMES if explainers[name].needs_layers])
MAPPED = pytest.mark.parametrize("name", [name for name in NAMES if explainers[name].needs_convolutions])
COMPARES = pytest.mark.parametrize("name", [name for name in NAMES if explainers[name].has_baseline])
ISSUE = {
    *("input_gradient", "gradient_times_input", "smooth_gradient", "integrated_gradients", "gradcam", "occlusion"),
    *("layer_integrated_gradients", "guided_gradcam", "deeplift", "gradient_shap", "random_attribution"),
}


def small_network(name):
    """Dense, or with a convolution for those that need one; modes differ within the module."""
    torch.manual_seed(0)
    if explainers[name].needs_convolutions:
        network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))
    else:
        network = nn.Sequential(nn.Linear(6, 8), nn.Softplus(), nn.Dropout(0.5), nn.Linear(8, 3))
    network[0].eval()
    network[0].weight.requires_grad_(False)
    network[-1].weight.grad = torch.ones_like(network[-1].weight)
    return network


def some_inputs(name, n=5, **options):
    shape = (n, 1, 6, 6) if explainers[name].needs_convolutions else (n, 6)
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)).requires_grad_(**options)


def state(network, inputs):
    return {
        "modes": [module.training for module in network.modules()],
        "attributes": [sorted(vars(module)) for module in network.modules()],
        "hooks": [
            (len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
            for module in network.modules()
        ],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "gradients": [None if p.grad is None else p.grad.tolist() for p in network.parameters()],
        "parameters": [parameter.tolist() for parameter in network.parameters()],
        "inputs": (inputs.tolist(), inputs.requires_grad, inputs.grad, inputs.grad_fn),
        "random": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # noqa: NPY002
    }


class Draws(nn.Module):
    """Moves the global random states, then fails."""

    def forward(self, inputs):
        torch.rand(1)
        np.random.rand()  # noqa: NPY002
        raise RuntimeError("out of memory, say")


def test_the_registry_finds_the_issue_s():
    assert set(NAMES) >= ISSUE | {"input_gradient_predicted"}


@EVERY
@pytest.mark.parametrize("requires_grad", [False, True])
def test_leaves_everything_as_it_was(name, requires_grad):
    network, inputs = small_network(name), some_inputs(name, requires_grad=requires_grad)
    before = state(network, inputs)
    attributions = explainers.resolve(name).attribute(network, inputs, torch.tensor([0, 1, 2, 0, 1]))
    assert state(network, inputs) == before
    assert not attributions.requires_grad
    assert attributions.shape == inputs.shape


@LOOKS
def test_leaves_everything_as_it_was_after_an_exception(name):
    network, inputs = small_network(name).append(Draws()), some_inputs(name, requires_grad=False)
    before = state(network, inputs)
    with pytest.raises(RuntimeError, match="out of memory"):
        explainers.resolve(name).attribute(network, inputs, torch.zeros(5, dtype=torch.long))
    assert state(network, inputs) == before


@EVERY
@pytest.mark.parametrize("law", explainer_laws.laws().values(), ids=explainer_laws.laws())
def test_it_keeps_the_laws(name, law):
    """Of a network with a convolution and dropout, whose parts are in different modes."""
    law(explainers.resolve(name))


@EVERY
@pytest.mark.parametrize("grad_mode", [torch.no_grad, torch.enable_grad])
def test_an_input_is_attributed_the_same_in_any_batch(name, grad_mode):
    network, inputs, target = small_network(name).double(), some_inputs(name, 7).detach().double(), torch.arange(7) % 3
    explainer = explainers.resolve(name)
    with grad_mode():
        together = explainer.attribute(network, inputs, target)
        alone = [explainer.attribute(network, inputs[[n]], target[[n]]) for n in range(7)]
    torch.testing.assert_close(together, torch.cat(alone))


@EVERY
def test_chunks_change_nothing(name, monkeypatch):
    network, inputs, target = small_network(name).double(), some_inputs(name, 5).detach().double(), torch.arange(5) % 3
    explainer = explainers.resolve(name)
    whole = explainer.attribute(network, inputs, target)
    monkeypatch.setattr(explainers[name], "internal_batch_size", 2)
    torch.testing.assert_close(explainer.attribute(network, inputs, target), whole)


@BY_OUTPUTS
def test_takes_any_callable_any_shape_and_no_inputs_at_all(name):
    inputs = torch.rand(4, 2, 3, 3)
    attributions = explainers.resolve(name).attribute(lambda x: x.sum((2, 3)) ** 2, inputs, torch.tensor([0, 1, 0, 1]))
    assert attributions.shape == inputs.shape
    assert attributions.dtype == inputs.dtype
    nothing = explainers.resolve(name).attribute(lambda x: x.sum((2, 3)), inputs[:0], torch.zeros(0, dtype=torch.long))
    assert nothing.shape == (0, 2, 3, 3)


@BY_LAYERS
def test_a_function_without_layers_is_refused(name):
    with pytest.raises(TypeError, match="has no layers to look into"):
        explainers.resolve(name).attribute(lambda x: x.flatten(1), torch.rand(2, 1, 3, 3), torch.tensor([0, 1]))


@MAPPED
def test_a_network_without_convolutions_is_refused(name):
    dense = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    assert "no convolution" in explainers.resolve(name).obstacle(dense)
    assert not explainers.resolve(name).obstacle(small_network(name))
    with pytest.raises(ValueError, match=r"Sequential has no convolution.*integrated_gradients"):
        explainers.resolve(name).attribute(dense, some_inputs(name), torch.zeros(5, dtype=torch.long))


@EVERY
def test_a_bound_net_is_attributed_as_its_module(name):
    """With the parameters that are bound, not those that the module has."""
    net, batch = small_net_and_batch(SmallConvolutional())
    inputs, target = batch.inputs, batch.labels
    explainer = explainers.resolve(name)
    attributions = explainer.attribute(net, inputs, target)
    torch.testing.assert_close(attributions, explainer.attribute(net.module, inputs, target))
    doubled = type(net)(net.module, {key: 2 * value.detach() for key, value in net.parameters.items()})
    if name != BLIND:
        assert not torch.allclose(explainer.attribute(doubled, inputs, target), attributions)
    assert attributions.shape == inputs.shape


@COMPARES
def test_against_itself_nothing_is_attributed(name):
    network, inputs = small_network(name), some_inputs(name)
    attributions = explainers.resolve(name).attribute(network, inputs, torch.zeros(5, dtype=torch.long), inputs)
    assert (attributions.abs() < 1e-6).all()


@COMPARES
@pytest.mark.usefixtures("shapes_unchecked")
def test_the_baseline_is_zeros_unless_said_otherwise(name):
    network, inputs, target = small_network(name), some_inputs(name), torch.tensor([0, 1, 2, 0, 1])
    explainer = explainers.resolve(name)
    plain = explainer.attribute(network, inputs, target)
    assert torch.equal(explainer.attribute(network, inputs, target, torch.zeros_like(inputs)), plain)
    assert not torch.allclose(explainer.attribute(network, inputs, target, torch.ones_like(inputs)), plain)
    with pytest.raises(ValueError, match="give each input its baseline"):
        explainer.attribute(network, inputs, target, torch.zeros_like(inputs[:1]))


@pytest.mark.parametrize("name", [name for name in NAMES if not explainers[name].has_baseline])
def test_a_baseline_that_would_be_ignored_is_refused(name):
    inputs = some_inputs(name)
    with pytest.raises(ValueError, match="leave baselines out"):
        explainers.resolve(name).attribute(small_network(name), inputs, torch.zeros(5, dtype=torch.long), inputs)


@pytest.mark.parametrize("name", [name for name in NAMES if not explainers[name].needs_layers and name != BLIND])
def test_signs_are_kept(name):
    """Class 0 by a feature minus another: they have opposite signs in its logit, its odds, and sum log p."""
    inputs, target = torch.tensor([[0.8, 0.3]]), torch.tensor([0])
    opposed = lambda x: torch.stack([x[:, 0] - x[:, 1], torch.zeros(len(x))], 1)  # noqa: E731
    one, other = explainers.resolve(name).attribute(opposed, inputs, target)[0].tolist()
    assert one * other < 0
