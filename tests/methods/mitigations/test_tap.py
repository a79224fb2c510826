from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.networks import networks
from rrrbench.datasets.recipe import make
from rrrbench.methods.mitigations.tap import TAP, activates, pooled
from rrrbench.methods.network import Net
from small import SmallConvolutional, bound, small_dataset, small_net_and_batch
from torch import nn
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)


def test_the_penalty_written_out_with_loops():
    net, batch = small_net_and_batch(SmallConvolutional())
    conv = net.module.features.conv
    maps = F.max_pool2d(F.conv2d(batch.inputs, conv.weight, conv.bias), 2).relu()  # 2x2 of 6x6
    total = 0.0
    for n in range(6):
        dilated = torch.zeros(6, 6, dtype=torch.float64)
        for row, column in batch.masks[n, 0].nonzero().tolist():
            dilated[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 1
        for i in range(2):
            for j in range(2):
                share = dilated[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean()
                total = total + (share * maps[n, :, i, j].sum()) ** 2
    torch.testing.assert_close(TAP().terms(net, batch, STRENGTH).right_reason, STRENGTH * total / 6)


def test_an_empty_mask_gives_0():
    net, batch = small_net_and_batch(SmallConvolutional())
    assert TAP().terms(net, batch._replace(masks=torch.zeros_like(batch.masks)), STRENGTH).right_reason.item() == 0


def test_layers_count_equally_and_their_masks_come_from_the_input():
    """Two ReLUs: the mean of what each alone would give, so that dilations do not compound."""
    module = nn.Module()
    module.features = nn.Sequential(nn.ReLU(), nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten())
    module.head = nn.Linear(72, 3)
    net, (_, batch) = bound(module.double()), small_net_and_batch(SmallConvolutional())
    first = batch.inputs
    second = module.features[1](first).relu()
    expected = (
        sum((pooled(batch.masks, maps) * maps.sum(1)).square().sum((1, 2)).mean() for maps in (first, second)) / 2
    )
    torch.testing.assert_close(TAP().terms(net, batch, STRENGTH).right_reason, STRENGTH * expected)


@pytest.mark.parametrize(("network", "count"), [("lenet", 2), ("resnet18", 5)])
def test_maps_are_penalised_after_each_relu_and_each_stage(network, count):
    module = networks.resolve(network).build(make("decoy", 0, base="digits"), 0)
    net = Net(module, dict(module.named_parameters()))
    layers = [layer for layer in net.layers if activates(layer)]
    dense = 1 if network == "lenet" else 0  # the ReLU after the flattening, which TAP does not reach
    assert len(layers) - dense == count


def test_a_mask_of_the_whole_image_covers_the_whole_map():
    """The released code's quantile would empty it."""
    masks = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    assert torch.equal(pooled(masks, torch.zeros(2, 4, 4, 4)), torch.ones(2, 4, 4))


def test_a_dense_network_is_named_as_the_obstacle():
    draw = small_dataset()
    assert "needs a convolution's feature maps" in TAP().obstacle(draw, networks.resolve("mlp").build(draw, 0))
