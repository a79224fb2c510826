"""Attributions of tiny networks, worked out by hand; what each explainer's docstring promises."""

import pytest
import torch
from rrrbench.datasets import make
from rrrbench.methods.explainers.base import explainers
from torch import nn

INPUTS = torch.rand(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
IMAGES = torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
TARGET = torch.arange(6) % 3


def linear():
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()


def resolve(name, **parameters):
    return explainers.resolve({"name": name, **parameters})


@pytest.mark.parametrize("name", ["gradient_times_input", "gradient_shap", "occlusion"])
def test_of_a_linear_network_is_weight_times_input(name):
    network = linear()
    attributions = resolve(name).attribute(network, INPUTS, TARGET)
    torch.testing.assert_close(attributions, network.weight.detach()[TARGET] * INPUTS, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gradient_shap", "occlusion"])
def test_of_a_linear_network_is_weight_times_difference(name):
    network, baselines = linear(), INPUTS.flip(0)
    attributions = resolve(name).attribute(network, INPUTS, TARGET, baselines)
    difference = network.weight.detach()[TARGET] * (INPUTS - baselines)
    torch.testing.assert_close(attributions, difference, rtol=1e-5, atol=1e-6)


def test_smooth_gradient_of_a_square_is_twice_the_input_and_the_mean_noise():
    """dz/dx = 2 (x + e), and the same e for every input; its mean is within 5 noise / sqrt(n) of 0."""
    attributions = resolve("smooth_gradient", noise=0.1, n_samples=400).attribute(lambda x: x**2, INPUTS[:, :3], TARGET)
    chosen = nn.functional.one_hot(TARGET, 3).bool()
    noise = attributions - 2 * INPUTS[:, :3]
    assert (attributions[~chosen] == 0).all()
    assert (noise[chosen].abs() < 2 * 5 * 0.1 / 20).all()
    assert (noise[chosen].abs() > 1e-9).all()
    torch.testing.assert_close(noise[0, 0], noise[3, 0])


def test_occlusion_is_the_mean_of_the_windows_that_hold_a_pixel():
    """Of a sum of weighted pixels in one row: windows {0, 1}, {1, 2}, {2, 3} lose the sums they cover."""
    weights, inputs = torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.ones(1, 1, 1, 4)
    network = lambda x: (x * weights).sum((1, 2, 3), keepdim=True).flatten(1)  # noqa: E731
    attributions = resolve("occlusion", window=2, stride=1).attribute(network, inputs, torch.tensor([0]))
    assert attributions.flatten().tolist() == [3, (3 + 6) / 2, (6 + 12) / 2, 12]


def test_deeplift_of_a_relu():
    """z = ReLU(x0 + x1 - 1) at (2, 1): the ReLU gained 2 of 3, so the multiplier is 2/3 and not 1."""
    network = nn.Sequential(nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 1, bias=False))
    network[0].weight.data, network[0].bias.data = torch.ones(1, 2), torch.tensor([-1.0])
    network[2].weight.data = torch.ones(1, 1)
    attributions = resolve("deeplift").attribute(network, torch.tensor([[2.0, 1.0]]), torch.tensor([0]))
    torch.testing.assert_close(attributions, torch.tensor([[4 / 3, 2 / 3]]))


@pytest.mark.parametrize("order", ["pool first", "ReLU first", "in place"])
def test_deeplift_is_complete_where_nonlinear_layers_are_neighbours(order):
    """As in lenet. Captum 0.9 alone misses by the second one's rule (its issue 1104)."""
    torch.manual_seed(0)
    pair = [nn.MaxPool2d(2), nn.ReLU(inplace=order == "in place")]
    pair = pair[::-1] if order == "ReLU first" else pair
    network = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), *pair, nn.Flatten(), nn.Linear(12, 3)).double()
    attributions = resolve("deeplift").attribute(network, IMAGES, TARGET, IMAGES.flip(0))
    with torch.no_grad():
        gained = (network(IMAGES) - network(IMAGES.flip(0))).gather(1, TARGET[:, None])[:, 0]
    torch.testing.assert_close(attributions.sum((1, 2, 3)), gained)
    assert not network[1 if order != "ReLU first" else 2].__dict__.keys() & {"input", "output"}


def test_deeplift_of_an_input_does_not_depend_on_the_first_one():
    """A max-pool whose input is the baseline's passes the input's own gradient (captum's issue 1276)."""
    torch.manual_seed(0)
    edges = nn.Conv2d(1, 1, (1, 2), bias=False)
    edges.weight.data = torch.tensor([[[[1.0, -1.0]]]])  # 0 on a flat image, as on the baseline
    network = nn.Sequential(edges, nn.MaxPool2d((1, 2)), nn.Flatten(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    flat, rough = torch.full((1, 1, 4, 3), 0.5), torch.rand(1, 1, 4, 3)
    alone = resolve("deeplift").attribute(network, flat, torch.tensor([0]))
    behind = resolve("deeplift").attribute(network, torch.cat([rough, flat]), torch.tensor([1, 0]))[1:]
    assert alone.abs().max() > 0
    torch.testing.assert_close(behind, alone)


def two_maps():
    """Feature maps x and -x; class t's logit is the sum of v_t0 x and v_t1 (-x): dz/dx = v_t0 - v_t1 everywhere."""
    values = torch.tensor([[3.0, 1.0], [1.0, 4.0], [0.5, 0.25]], dtype=torch.float64)
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(24, 3, bias=False)).double()
    network[0].weight.data = torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(2, 1, 1, 1)
    network[2].weight.data = values.repeat_interleave(12, 1)
    return network, (values[:, 0] - values[:, 1])[TARGET].reshape(6, 1, 1, 1)


def test_gradcam_is_the_positive_part_of_the_weighted_maps():
    network, slope = two_maps()
    attributions = resolve("gradcam").attribute(network, IMAGES, TARGET)
    torch.testing.assert_close(attributions, (slope * IMAGES).clamp(min=0))
    assert (attributions[TARGET == 1] == 0).all()


def test_guided_gradcam_is_gradcam_times_the_gradient_where_there_is_no_relu():
    network, slope = two_maps()
    attributions = resolve("guided_gradcam").attribute(network, IMAGES, TARGET)
    torch.testing.assert_close(attributions, (slope * IMAGES).clamp(min=0) * slope)


def test_layer_integrated_gradients_of_a_linear_head():
    network, slope = two_maps()
    attributions = resolve("layer_integrated_gradients").attribute(network, IMAGES, TARGET, IMAGES.flip(0))
    torch.testing.assert_close(attributions, slope * (IMAGES - IMAGES.flip(0)), rtol=1e-6, atol=1e-7)


def test_maps_are_enlarged_to_the_inputs_and_shared_by_their_channels():
    network = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 3 * 2, 3))
    inputs = torch.rand(2, 3, 7, 5)
    for name in ("gradcam", "layer_integrated_gradients"):
        attributions = resolve(name).attribute(network, inputs, torch.tensor([0, 1]))
        assert attributions.shape == inputs.shape
        assert torch.equal(attributions[:, 0], attributions[:, 2])


class Crossed(nn.Module):
    """Applies its layers in another order than it defines them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.applied_last = nn.Conv2d(1, 2, 1)
        self.applied_first = nn.Conv2d(1, 1, 3, padding=1)
        self.head = nn.Linear(24, 3)

    def forward(self, inputs):
        return self.head(self.applied_last(self.applied_first(inputs).relu()).flatten(1))


@pytest.mark.parametrize("name", ["gradcam", "guided_gradcam", "layer_integrated_gradients"])
def test_the_layer_is_the_convolution_applied_last_or_the_one_that_is_named(name):
    network = Crossed().double()
    last = resolve(name).attribute(network, IMAGES, TARGET)
    torch.testing.assert_close(resolve(name, layer="applied_last").attribute(network, IMAGES, TARGET), last)
    first = resolve(name, layer="applied_first").attribute(network, IMAGES, TARGET)
    assert not torch.allclose(first, last)
    with pytest.raises(ValueError, match="'aplied_first'; did you mean applied_first"):
        resolve(name, layer="aplied_first").attribute(network, IMAGES, TARGET)


@pytest.mark.parametrize("name", ["gradcam", "layer_integrated_gradients"])
@pytest.mark.usefixtures("shapes_unchecked")
def test_a_layer_without_maps_is_refused(name):
    with pytest.raises(ValueError, match=r"output of \(6, \d\) does not lie over"):
        resolve(name, layer="head").attribute(Crossed().double(), IMAGES, TARGET)


def test_a_random_attribution_is_its_seed_s_alone():
    network, other = linear(), linear()
    other.weight.data *= -1
    one = resolve("random_attribution").attribute(network, INPUTS, TARGET)
    torch.manual_seed(5)
    assert torch.equal(resolve("random_attribution").attribute(other, INPUTS, TARGET), one)
    assert not torch.equal(resolve("random_attribution", seed=1).attribute(network, INPUTS, TARGET), one)


@pytest.mark.parametrize("name", ["integrated_gradients", "gradient_shap", "deeplift"])
def test_against_its_twin_an_input_differs_in_the_mask_alone(name):
    dataset = make("decoy", 0, base="digits")
    batch, twins = dataset.test("random").batch(slice(0, 8)), dataset.test("clean").batch(slice(0, 8))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    target = network(batch.inputs).argmax(1)
    attributions = resolve(name).attribute(network, batch.inputs, target, twins.inputs)
    assert (attributions[~batch.masks.expand_as(attributions)] == 0).all()
    with torch.no_grad():
        effect = (network(batch.inputs) - network(twins.inputs)).gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(attributions.sum((1, 2, 3)), effect, rtol=1e-3, atol=1e-4)
