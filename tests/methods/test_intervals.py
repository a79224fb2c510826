from __future__ import annotations

import pytest
import torch
from rrrbench.methods.gradients import input_gradient
from rrrbench.methods.intervals import Interval, input_gradient_bounds, logit_bounds, probability_bounds
from rrrbench.methods.network import BoundLayer
from rrrbench.methods.perturbations import box_in_mask
from small import Linear, SmallConvolutional, bound, small_net_and_batch
from torch import nn

NETWORKS = [
    {"name": "mlp", "hidden": [32, 16], "init": "torch"},
    {"name": "mlp", "hidden": [32, 16], "init": "torch", "pixel_range": (-1.0, 3.0)},
    SmallConvolutional(),
    SmallConvolutional(pixel_range=(-1.0, 1.0)),
]
ROUNDING = 1e-12


def inside(values: torch.Tensor, bounds: Interval) -> bool:
    return bool(((values >= bounds.lower - ROUNDING) & (values <= bounds.upper + ROUNDING)).all())


def points_in(box: Interval, n: int) -> list[torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    shares = [torch.rand(box.lower.shape, generator=rng, dtype=torch.float64) for _ in range(n)]
    return [box.lower + share.round(decimals=i % 2) * (box.upper - box.lower) for i, share in enumerate(shares)]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_bounds_contain_what_any_content_of_the_mask_gives(network, epsilon):
    net, batch = small_net_and_batch(network)
    box = box_in_mask(batch, epsilon)
    logits = logit_bounds(net, box)
    gradients = input_gradient_bounds(net, box, lambda logits: probability_bounds(logits).map(lambda p: 3 * p))
    for point in points_in(box, 50):
        gradient, at_point = input_gradient(net, point, lambda z: 3 * z.logsumexp(-1))  # d logsumexp / dz = p
        assert inside(at_point, logits)
        assert inside(at_point.softmax(-1), probability_bounds(logits))
        assert inside(gradient, gradients)


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_bounds_of_a_point_are_the_values_there(network):
    net, batch = small_net_and_batch(network)
    point = Interval(batch.inputs, batch.inputs)
    gradient, logits = input_gradient(net, batch.inputs, lambda z: z.logsumexp(-1))
    for bound_ in logit_bounds(net, point):
        torch.testing.assert_close(bound_, logits)
    for bound_ in input_gradient_bounds(net, point, probability_bounds):
        torch.testing.assert_close(bound_, gradient)


def test_bounds_of_a_linear_network_are_attained():
    net = bound(Linear(torch.tensor([[2.0, -3.0], [0.0, 1.0]])))
    logits = logit_bounds(net, Interval(torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.5]])))
    assert logits.lower.tolist() == [[-1.5, 0.0]]
    assert logits.upper.tolist() == [[2.0, 0.5]]


def test_probability_bounds_of_two_classes_by_hand():
    bounds = probability_bounds(Interval(torch.tensor([[0.0, -1.0]]), torch.tensor([[1.0, 2.0]])))
    sigmoid = torch.tensor([[-2.0, -2.0], [2.0, 2.0]]).sigmoid()  # z_0 - z_1 is in [0 - 2, 1 + 1]
    torch.testing.assert_close(bounds.lower[0], sigmoid[0])
    torch.testing.assert_close(bounds.upper[0], sigmoid[1])


@pytest.mark.parametrize("size", [(5, 5), (4, 6)])
def test_a_max_pool_passes_gradients_only_to_what_can_be_greatest(size):
    inputs = torch.randn(2, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    module = nn.Module()
    module.features = nn.Sequential(nn.MaxPool2d(2), nn.Flatten())
    module.head = nn.Linear(3 * (size[0] // 2) * (size[1] // 2), 2).double()
    net = bound(module)
    exact = input_gradient_bounds(net, Interval(inputs, inputs), probability_bounds)
    assert (exact.lower == exact.upper).all()
    loose = input_gradient_bounds(net, Interval(inputs - 9, inputs + 9), probability_bounds)
    assert (loose.lower <= exact.lower).all()
    assert (loose.upper >= exact.upper).all()
    assert (loose.lower <= 0).all()


def test_what_has_no_rule_is_refused_with_a_way_out():
    module = nn.Module()
    module.features, module.head = nn.Sequential(nn.Softmax(-1)), nn.Linear(3, 2)
    box = Interval(torch.zeros(1, 3), torch.ones(1, 3))
    with pytest.raises(ValueError, match="no rule for Softmax: use the mlp or lenet"):
        logit_bounds(bound(module), box)
    overlapping = nn.MaxPool2d(3, stride=1)
    module.features, module.head = nn.Sequential(overlapping, nn.Flatten()), nn.Linear(4, 2)
    with pytest.raises(ValueError, match="tile the image"):
        input_gradient_bounds(bound(module), Interval(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)), lambda z: z)
    with pytest.raises(TypeError, match="not affine"):
        BoundLayer(nn.ReLU(), {}).linear(torch.zeros(1))
